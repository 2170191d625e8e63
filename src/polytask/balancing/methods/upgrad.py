"""Jacobian descent with the aggregator UPGrad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from polytask.balancing import preference as wishes
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import weights_of
from polytask.balancing.preference import Preference
from polytask.catalogue import Paper
from polytask.maths.cone import dual_projections, simplest_parts
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
