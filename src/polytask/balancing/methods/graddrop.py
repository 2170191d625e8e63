"""Gradient sign dropout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Combiner, Evidence, Law, State
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.blocks import blocks


@dataclass(frozen=True)
class GradDrop(Combiner):
    """Keeps, in every coordinate, only the gradients of one sign, drawn by how much of the total it has.

    ``d = leak sum_t g_t + (1 - leak) (positive if U < P else negative),   P = positive / (positive - negative)``

    for each coordinate, where positive and negative are the sums of the g_t above and below 0 and U is uniform. A
    coordinate on which all tasks agree is kept whole; ``leak=1`` is the plain sum. The scale is that of a sum; the
    expectation over U is ``P positive + (1 - P) negative``.

    The paper draws at the activations of one layer and multiplies by their sign; this is the form for parameters that
    later comparisons use, without their division by T. U is drawn on the CPU: the same on every device and process.

    :param leak: share of the plain sum, from 0 to 1.

    Chen, Ngiam, Huang, Luong, Kretzschmar, Chai, Anguelov. NeurIPS 2020.
    """

    paper = Paper(
        "Chen, Ngiam, Huang, Luong, Kretzschmar, Chai, Anguelov",
        "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout",
        "NeurIPS",
        2020,
    )
    verified = "worked examples; masks; its expectation; torchjd"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE})

    leak: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.leak <= 1:
            raise ConfigError(f"expected a number from 0 to 1, found {self.leak}.", where="leak")

    def combine(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One sign per coordinate, in blocks."""
        J = evidence.rows
        U = torch.rand(J.shape[1], generator=rng).to(J)
        parts = [_pick(rows, u, self.leak) for rows, u in zip(blocks(J), blocks(U), strict=True)]
        return torch.cat(parts), state


def _pick(J: Tensor, U: Tensor, leak: float) -> Tensor:
    positive, negative = J.clamp_min(0).sum(0), J.clamp_max(0).sum(0)
    d = torch.where(U * (positive - negative) < positive, positive, negative)
    return d.lerp_(positive + negative, leak) if leak else d
