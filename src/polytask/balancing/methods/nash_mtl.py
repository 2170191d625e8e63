"""Multi-task learning as a bargaining game."""

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
from polytask.maths.bargaining import bargain, bargain_residual
from polytask.maths.gramian import Array, Gramian, nearest_psd


@dataclass(frozen=True)
class NashMTL(Weigher):
    """Takes the direction that tasks agree on when they bargain: none can gain relatively more than the others lose.

    ``G w = p / w,   w > 0``

    the direction in the unit ball that maximises ``prod_t (g_t . d)^{p_t}``. The update has the length ``sqrt(sum p)``
    whatever the lengths of the gradients, and rescaling a task's loss does not change it. With p = 1 that is sqrt(T);
    the paper's code then clips it to 1, which is left to the optimizer here. Solved exactly by Newton's method in every
    step; published code stops a sequence of approximations early, with residuals of hundreds at unequal scales.

    A task with zero gradient has nothing to bargain for: weight 0, the others bargain among themselves. Where no
    direction serves all (opposite gradients) there is no bargain: the weights become large and cancel, about 1e3 over
    the length of the gradient, and the update is about zero along the gradients that cancel.

    :param preference: p, by task: larger gains for tasks of larger p (asymmetric bargaining); the present tasks' are
        scaled to sum to T.

    Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik, Fetaya. ICML 2022.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik, Fetaya",
        "Multi-Task Learning as a Bargaining Game",
        "ICML",
        2022,
    )
    verified = "its condition; closed form for two tasks; torchjd finds no better bargain; worked examples"
    laws = frozenset({Law.EQUIVARIANT, Law.TASK_SCALE_FREE, Law.DIRECTION_SCALE_FREE, Law.NON_CONFLICTING, Law.BARGAIN})

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
        """The solution of ``G w = p / w``."""

        def solve(gramian: Gramian) -> Array:
            C = nearest_psd(gramian.cosines)
            return bargain(C, _parts(gramian, state), precision=gramian.precision) / gramian.norms

        return weights_of(evidence, solve, zero=0.0, none=0.0), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """``max_t |w_t (G w)_t / p_t - 1|``."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any():
            return math.nan
        s = numbers(weights)[gramian.alive] * gramian.norms
        return bargain_residual(gramian.cosines, _parts(gramian, state), 1.0, s)


def _parts(gramian: Gramian, state: State) -> Array:
    """Square roots of the preferences: what each would take if all gradients were orthogonal."""
    p = wishes.shares(state, len(gramian.alive))[gramian.alive]
    return np.asarray(np.sqrt(p * (len(p) / p.sum())))
