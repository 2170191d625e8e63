"""Gradient episodic memory's projection onto the dual cone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from polytask.balancing import preference as wishes
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.balancing.preference import Preference
from polytask.catalogue import Paper
from polytask.maths.cone import nnls, nnls_residual
from polytask.maths.gramian import Array, Gramian, nearest_psd


@dataclass(frozen=True)
class DualProj(Weigher):
    """Projects the mean gradient onto the directions that conflict with no task.

    ``d = argmin |x - sum_t p_t g_t| over x with J x >= 0;   w >= p``

    No task's loss rises to first order. The weights are on the scale of a mean, at least p. A task with zero gradient
    keeps the weight p; opposite gradients cancel.

    :param preference: p, by task; the present tasks' are scaled to sum to 1.

    Lopez-Paz, Ranzato. NeurIPS 2017.
    """

    needs = Need.GRAMIAN
    paper = Paper("Lopez-Paz, Ranzato", "Gradient Episodic Memory for Continual Learning", "NeurIPS", 2017)
    verified = "SciPy's NNLS; torchjd up to its ridge; worked examples"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE, Law.NON_CONFLICTING, Law.EXACT})

    preference: Preference = None

    def __post_init__(self) -> None:
        wishes.check(self.preference)

    def mentions(self) -> frozenset[str]:
        """The tasks that have a preference."""
        return frozenset(self.preference or ())

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The preferences of ``tasks``."""
        return wishes.begin(self.preference, tasks, like)

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``p`` and what the projection adds to it."""
        T = len(evidence.losses)
        p = wishes.shares(state, T)

        def solve(gramian: Gramian) -> Array:
            C = nearest_psd(gramian.cosines)
            own = p[gramian.alive]
            added = nnls(C, C @ (own * gramian.norms))
            return np.asarray(own + added / gramian.norms)

        return weights_of(evidence, solve, zero=1 / T, none=1 / T), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The largest violation of ``w >= p`` and ``u_t . d >= 0``, one of them with equality, next to the mean's."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any():
            return math.nan
        start = wishes.shares(state, len(gramian.alive))[gramian.alive] * gramian.norms
        added = numbers(weights)[gramian.alive] * gramian.norms - start
        return nnls_residual(gramian.cosines, gramian.cosines @ start, added)
