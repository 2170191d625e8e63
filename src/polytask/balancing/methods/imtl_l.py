"""Impartial multi-task learning, the part that balances losses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class IMTLL(Weigher):
    """Learns one scale per task that brings all scaled losses to 1.

    ``minimise over s:  sum_t [ e^{s_t} L_t - s_t ],   w_t = e^{s_t}``

    The memory follows ``s`` by Adam on its derivative ``w_t L_t - 1``; the weights of a step use s before its update.
    So this is joint optimisation of model and s by Adam, with s in a parameter group of its own, ``lr`` as its
    learning rate, and no weight decay.

    :param lr: step size of s, in units of s (natural logarithm of the loss) per step.
    :param start: s before the first step.

    Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang. ICLR 2021.
    """

    needs = Need.LOSSES
    paper = Paper("Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang", "Towards Impartial Multi-task Learning", "ICLR", 2021)
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
        """``e^s``, then one step of Adam on s."""
        w = state["s"].exp()
        return w, learned.descend(state, w * evidence.losses - 1, self.lr)
