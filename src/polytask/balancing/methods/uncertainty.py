"""Uncertainty weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class Uncertainty(Weigher):
    """Weighs a task by the inverse of its noise variance, which is learned along with the model.

    ``minimise over s:  sum_t [ c e^{-s_t} L_t + s_t / 2 ],   s_t = log sigma_t^2,   w_t = c e^{-s_t}``

    with c = 1/2 (``form="regression"``) or 1 (``form="classification"``). At the optimum of s every ``w_t L_t`` is 1/2.

    The memory follows ``s`` by Adam on its derivative ``1/2 - w_t L_t``. The weights of a step use s before its update,
    so this is joint optimisation of model and s by Adam, with s in a parameter group of its own, ``lr`` as its
    learning rate, and no weight decay. Losses below 0 are refused:
    s would have no lower end.

    :param form: ``"regression"`` (1/2, for every task) or ``"classification"`` (1, for every task): the two differ by a
        factor on the loss, and thus by log 2 in the s that is learned.
    :param lr: step size of s, in units of s (natural logarithm of the loss) per step.
    :param start: s before the first step.

    Kendall, Gal, Cipolla. CVPR 2018.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Kendall, Gal, Cipolla",
        "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics",
        "CVPR",
        2018,
    )
    verified = "worked examples; one Adam over model and s, by autograd"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT})
    domain = "non-negative"

    form: Literal["regression", "classification"] = "regression"
    lr: float = 0.01
    start: float = 0.0

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """s and the moments of its Adam."""
        return learned.begin(self.start, tasks, like)

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``c e^{-s}``, then one step of Adam on s."""
        c = 0.5 if self.form == "regression" else 1.0
        w = c * (-state["s"]).exp()
        return w, learned.descend(state, 0.5 - w * evidence.losses, self.lr)
