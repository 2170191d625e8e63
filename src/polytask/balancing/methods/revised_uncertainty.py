"""Uncertainty weighting with a regulariser that stays positive."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class RevisedUncertainty(Weigher):
    """Weighs a task by the inverse of its learned noise variance, with a regulariser that is never negative.

    ``minimise over s:  sum_t [ e^{-s_t} L_t / 2 + log(1 + e^{s_t}) ],   s_t = log c_t^2,   w_t = e^{-s_t} / 2``

    The memory follows ``s`` by Adam on its derivative ``sigmoid(s_t) - w_t L_t``; the weights of a step use s before
    its update, as in ``uncertainty``. The paper learns c; s = log c^2 has the same optimum and cannot cross zero.

    :param lr: step size of s, in units of s per step.
    :param start: s before the first step; 0 is c = 1.

    Liebel, Körner. arXiv 2018.
    """

    needs = Need.LOSSES
    paper = Paper("Liebel, Körner", "Auxiliary Tasks in Multi-task Learning", "arXiv", 2018)
    verified = "worked examples; one Adam over model and s, by autograd"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT})
    domain = "non-negative"

    lr: float = 0.01
    start: float = 0.0

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """s and the moments of its Adam."""
        return learned.begin(self.start, tasks, like)

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``e^{-s} / 2``, then one step of Adam on s."""
        s = state["s"]
        w = 0.5 * (-s).exp()
        return w, learned.descend(state, s.sigmoid() - w * evidence.losses, self.lr)
