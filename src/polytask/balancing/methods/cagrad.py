"""Conflict-averse gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.ball import best_worst_gain, worst_gain_residual
from polytask.maths.gramian import Array, Gramian, nearest_psd


@dataclass(frozen=True)
class CAGrad(Weigher):
    """Takes the direction near the mean gradient along which the task that gains least gains most.

    ``d = argmax min_t g_t . d  over  |d - g0| <= c |g0|;   g0 = mean_t g_t``

    For c < 1 it converges to a minimum of the mean loss. Solved exactly; published code runs a general solver with
    smoothed square roots, which answers with equal weights when gradients are short. The weights are on the scale of a
    mean (the authors' trainers multiply by T).

    If the mean gradient is zero, so is the radius: the weights are those of the mean. A task with zero gradient counts
    in the mean alone. Where no direction serves all and c >= 1, the nearest to the mean that harms none is taken.

    :param c: radius, 0 or more; 0 is the mean gradient, and the direction tends to that of ``mgda`` as c grows.
    :param rescale: what the update is divided by: 0: nothing, 1: ``1 + c^2``, 2: ``1 + c``.

    Liu, Liu, Jin, Stone, Liu. NeurIPS 2021.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Liu, Liu, Jin, Stone, Liu", "Conflict-Averse Gradient Descent for Multi-task Learning", "NeurIPS", 2021
    )
    verified = "SciPy's SLSQP; torchjd; worked examples"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE, Law.EXACT})

    c: float = 0.5
    rescale: Literal[0, 1, 2] = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.c) and self.c >= 0):
            raise ConfigError(f"expected a number of 0 or more, found {self.c}.", where="c")

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``1/T`` and what the best direction adds to it, rescaled."""
        T = len(evidence.losses)
        unit = self._unit()

        def solve(gramian: Gramian) -> Array:
            mean = np.full(len(gramian.norms), 1 / T)
            if self.c == 0:
                return unit * mean
            C = nearest_psd(gramian.cosines)
            z = best_worst_gain(C, gramian.norms, mean * gramian.norms, self.c, gramian.precision)
            return np.asarray(unit * (mean + z / gramian.norms))

        return weights_of(evidence, solve, zero=unit / T, none=unit / T), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The largest violation: of equal gains where tasks add to the mean, or of the radius; in units of |g0|."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any() or self.c == 0:
            return math.nan
        mean = np.full(len(gramian.norms), 1 / len(gramian.alive))
        z = (numbers(weights)[gramian.alive] / self._unit() - mean) * gramian.norms
        return worst_gain_residual(gramian.cosines, gramian.norms, mean * gramian.norms, self.c, z)

    def _unit(self) -> float:
        return 1 / (1.0, 1 + self.c**2, 1 + self.c)[self.rescale]
