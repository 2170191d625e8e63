"""Impartial multi-task learning: balanced losses, then balanced gradients."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, weights_of
from polytask.balancing.methods.imtl_g import equal_projection, of_sum_one, spread_of_projections
from polytask.catalogue import Paper
from polytask.maths.gramian import Array, Gramian


@dataclass(frozen=True)
class IMTL(Weigher):
    """Learns a scale per task as ``imtl_l`` does, and balances the gradients of the scaled losses as ``imtl_g`` does.

    ``w_t = e^{s_t} v_t,   v: the weights of imtl_g for the gradients e^{s_t} g_t``

    The direction is that of ``imtl_g``, which does not depend on scales; s decides its length (the weights of the
    scaled gradients sum to 1). Heads keep the plain gradient of their own loss; in the paper it is scaled by e^s.

    :param lr: step size of s, in units of s (natural logarithm of the loss) per step.
    :param start: s before the first step.

    Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang. ICLR 2021.
    """

    needs = Need.GRAMIAN
    paper = Paper("Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang", "Towards Impartial Multi-task Learning", "ICLR", 2021)
    verified = "imtl_g and imtl_l; worked examples"
    laws = frozenset({Law.EQUIVARIANT, Law.DIRECTION_SCALE_FREE, Law.EQUAL_PROJECTION})
    domain = "non-negative"

    lr: float = 0.01
    start: float = 0.0

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """s and the moments of its Adam."""
        return learned.begin(self.start, tasks, like)

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The weights of ``imtl_g`` for scaled losses times the scales, then one step of Adam on s."""
        scales = state["s"].exp()

        def solve(gramian: Gramian) -> Array:
            scale = numbers(scales)[gramian.alive]
            return scale * of_sum_one(equal_projection(gramian) / (gramian.norms * scale))

        weights = weights_of(evidence, solve, zero=0.0, none=0.0)
        return weights, learned.descend(state, scales * evidence.losses - 1, self.lr)

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """That of ``imtl_g``: scales change no direction."""
        return spread_of_projections(evidence, weights)
