"""Projecting conflicting gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import weights_of
from polytask.catalogue import Paper
from polytask.maths.conflict import Order, remove_conflicts
from polytask.maths.gramian import Array, Gramian


@dataclass(frozen=True)
class PCGrad(Weigher):
    """Projects every task's gradient off the gradients that it conflicts with, one after another in random order.

    ``d_i = g_i;   for j != i in random order:  if d_i . g_j < 0:  d_i <- d_i - (d_i . g_j) / |g_j|^2 g_j``

    with the original g_j; the update is the sum (or mean) of the d_i. For two tasks it conflicts with neither; for
    three or more it may. A task with zero gradient changes nothing and keeps the weight 1 (or 1/T).

    :param reduction: ``"sum"`` (the paper), or ``"mean"``.

    Yu, Kumar, Gupta, Levine, Hausman, Finn. NeurIPS 2020.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Yu, Kumar, Gupta, Levine, Hausman, Finn", "Gradient Surgery for Multi-Task Learning", "NeurIPS", 2020
    )
    verified = "the paper's loop; torchjd, in distribution; worked examples"
    laws = frozenset({Law.POSITIVE, Law.SCALE_FREE, Law.LINEAR})

    reduction: Literal["sum", "mean"] = "sum"

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The sums over tasks of the coefficients after surgery."""
        T = len(evidence.losses)
        order = random_order(T, rng)
        unit = 1.0 if self.reduction == "sum" else 1 / T

        def solve(gramian: Gramian) -> Array:
            coefficients = remove_conflicts(gramian.cosines, among(order, gramian))
            return unit * (gramian.norms @ coefficients) / gramian.norms

        return weights_of(evidence, solve, zero=unit, none=unit), state


def random_order(T: int, rng: Generator) -> Order:
    """T random permutations of the tasks, drawn on the CPU: the same on every device."""
    return torch.rand(T, T, generator=rng).argsort(1).numpy()


def among(order: Order, gramian: Gramian) -> Order:
    """The same order among the tasks whose gradient is not zero, which are counted anew."""
    alive = gramian.alive
    if alive.all():
        return order
    kept = order[alive]
    return (alive.cumsum() - 1)[kept[alive[kept]].reshape(len(kept), -1)]
