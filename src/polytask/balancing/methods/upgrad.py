"""Jacobian descent with the aggregator UPGrad."""

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
from polytask.maths.ball import length_of
from polytask.maths.cone import dual_projections, nnls_residual, simplest_parts
from polytask.maths.gramian import Array, Gramian, nearest_psd


@dataclass(frozen=True)
class UPGrad(Weigher):
    """Projects every task's gradient onto the directions that conflict with no task, and takes the mean.

    ``d = sum_i p_i proj(g_i),   proj(g) = argmin |x - g| over x with J x >= 0``

    No task's loss rises to first order, and scaling a task's loss scales its own part of the update, nothing else. The
    weights are at least p, on the scale of a mean. The projections are exact; published code adds 1e-4 of the trace to
    the Gramian, which decides about every task whose gradient is a hundred times shorter than the longest.

    Two tasks: half of ``pcgrad``. A task with zero gradient keeps the weight p; opposite gradients cancel.

    :param preference: p, by task; the present tasks' are scaled to sum to 1.

    Quinton, Rey. arXiv 2024.
    """

    needs = Need.GRAMIAN
    paper = Paper("Quinton, Rey", "Jacobian Descent for Multi-Objective Optimization", "arXiv", 2024)
    verified = "SciPy's NNLS row by row; torchjd up to its ridge; worked examples"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE, Law.NON_CONFLICTING, Law.LINEAR})

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
        """``p`` and what the projections add to it."""
        T = len(evidence.losses)
        p = wishes.shares(state, T)

        def solve(gramian: Gramian) -> Array:
            own = p[gramian.alive]
            C = nearest_psd(gramian.cosines)
            added = simplest_parts(C, (own * gramian.norms) @ dual_projections(C))
            return np.asarray(own + added / gramian.norms)

        weights = weights_of(evidence, solve, zero=1 / T, none=1 / T)
        return weights, state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The largest violation of ``l >= 0, u_t . x >= 0``, one of them with equality, over the T projections x; or,
        if it is larger, the distance of the update from their mean, next to the sum of the lengths of its parts."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any():
            return math.nan
        own = wishes.shares(state, len(gramian.alive))[gramian.alive] * gramian.norms
        C = nearest_psd(gramian.cosines)
        parts = dual_projections(C)
        worst = max(nnls_residual(C, row, part) for row, part in zip(C, parts, strict=True))
        rest = numbers(weights)[gramian.alive] * gramian.norms - own @ (np.eye(len(own)) + parts)
        size = own.sum() + (own @ parts).sum()
        return max(worst, length_of(C, rest, 0.0) / float(size))
