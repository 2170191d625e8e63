"""The multiple-gradient descent algorithm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.catalogue import Paper
from polytask.maths.gramian import Array, Gramian, nearest_psd
from polytask.maths.simplex import min_norm, min_norm_residual


@dataclass(frozen=True)
class MGDA(Weigher):
    """Takes the shortest convex combination of the task gradients, along which every loss falls.

    ``w = argmin |sum_t w_t g_t|^2 over w >= 0, sum w = 1``

    Every task gains at least ``|d|^2`` to first order, and ``d = 0`` exactly where no direction serves all (a Pareto
    stationary point). Solved exactly; published code stops early (after 250 or 100 iterations). The weights sum to 1,
    so steps are shorter than with ``equal``; the shortest gradients decide, unless they are normalised.

    A task with zero gradient gets the weight 0 and does not stop the others; equal gradients share their weight; if
    all gradients are zero the weights are 1/T.

    :param normalise: what gradients are divided by while the weights are sought: ``"none"``, ``"l2"`` (their length),
        ``"loss"`` (their loss) or ``"loss+"`` (both). The weights are then used on the gradients as they are.

    Désidéri. Comptes Rendus Mathématique 2012; Sener, Koltun. NeurIPS 2018.
    """

    needs = Need.GRAMIAN
    paper = Paper("Sener, Koltun", "Multi-Task Learning as Multi-Objective Optimization", "NeurIPS", 2018)
    verified = "closed form for two tasks; SciPy's NNLS; worked examples"
    laws = frozenset({Law.SIMPLEX, Law.EQUIVARIANT, Law.SCALE_FREE, Law.NON_CONFLICTING, Law.EXACT})

    normalise: Literal["none", "l2", "loss", "loss+"] = "none"

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The nearest point of the convex hull to the origin."""
        T = len(evidence.losses)

        def solve(gramian: Gramian) -> Array:
            return min_norm(nearest_psd(gramian.cosines), self._lengths(gramian, evidence))

        return weights_of(evidence, solve, zero=0.0, none=1 / T), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The largest violation of ``g_t . d >= |d|^2`` (with equality where the weight is above 0), in cosines."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any():
            return math.nan
        return min_norm_residual(gramian.cosines, self._lengths(gramian, evidence), numbers(weights)[gramian.alive])

    def _lengths(self, gramian: Gramian, evidence: Evidence) -> Array:
        lengths = gramian.norms
        if self.normalise in ("l2", "loss+"):
            lengths = np.ones_like(lengths)
        if self.normalise in ("loss", "loss+"):
            losses = np.abs(numbers(evidence.losses)[gramian.alive])
            lengths = lengths / np.maximum(losses, np.finfo(np.float64).tiny)
        return lengths
