"""Fair resource allocation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.bargaining import bargain, bargain_residual
from polytask.maths.gramian import Array, Gramian, nearest_psd


@dataclass(frozen=True)
class FairGrad(Weigher):
    """Shares the gains out alpha-fairly among the tasks.

    ``G w = w^{-1/alpha},   w > 0``

    alpha 0 is the plain sum, 1 is ``nash_mtl``, and larger alpha favour the task that gains least. Scaling all losses
    by c scales the update by ``c^{(1 - alpha) / (1 + alpha)}``; the authors' code multiplies by T and clips the length
    to 1, which is left to the optimizer here. Solved exactly by Newton's method; published code runs a general
    least-squares solver that stops early at small scales.

    A task with zero gradient gets the weight 0. Where no direction serves all (opposite gradients) the weights become
    large and cancel, as in ``nash_mtl``.

    :param alpha: fairness, from 0 to 20.

    Ban, Ji. ICML 2024.
    """

    needs = Need.GRAMIAN
    paper = Paper("Ban, Ji", "Fair Resource Allocation in Multi-Task Learning", "ICML", 2024)
    verified = "its condition; torchjd; worked examples; nash_mtl at 1"
    laws = frozenset({Law.EQUIVARIANT, Law.NON_CONFLICTING})

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 20:
            raise ConfigError(f"expected a number from 0 to 20, found {self.alpha}.", where="alpha")

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The solution of ``G w = w^{-1/alpha}``."""

        def solve(gramian: Gramian) -> Array:
            if self.alpha == 0:
                return np.ones_like(gramian.norms)
            unit, rho = self._parts(gramian)
            s = bargain(nearest_psd(gramian.cosines), rho, self.alpha, gramian.precision)
            return s * unit / gramian.norms

        return weights_of(evidence, solve, zero=0.0, none=0.0), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """``max_t |(G w)_t w_t^{1/alpha} - 1|``."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any() or self.alpha == 0:
            return math.nan
        unit, rho = self._parts(gramian)
        s = numbers(weights)[gramian.alive] * gramian.norms / unit
        return bargain_residual(gramian.cosines, rho, self.alpha, s)

    def _parts(self, gramian: Gramian) -> tuple[float, Array]:
        """``w_t |g_t|`` if all gradients were orthogonal, as a factor and numbers around 1."""
        logs = (1 - self.alpha) / (1 + self.alpha) * np.log(gramian.norms)
        return float(np.exp(logs.mean())), np.exp(logs - logs.mean())
