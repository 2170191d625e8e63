"""Low-rank adaptation per task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import above, at_least
from polytask.nets.sharing.conditioned import PerTask, of_tasks
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.nets.sharing.task_trunk import TaskTrunk
from polytask.nets.sharing.varied import Variation, Varied
from polytask.tasks.task import Target


@dataclass(frozen=True)
class LoRA(Sharing):
    r"""One trunk, to each of whose weight matrices every task adds a matrix of low rank.

    .. math:: W_t = W + \frac{\alpha}{r} B_t A_t, \qquad A_t \in \mathbb{R}^{r \times I}, \;
              B_t \in \mathbb{R}^{O \times r}

    :math:`A_t` starts uniform as linear layers do, :math:`B_t` at zero, so that the network starts as hard sharing.
    Every matrix of the blocks and the pool is varied, a convolution as a matrix with I * H * W columns; biases, norms
    and the stem are common, running statistics of batch norms are kept by task. The trunk runs once per task, all
    tasks as one batched product of merged weights.

    :param rank: r; at most the smaller side of a matrix is used.
    :param alpha: α.
    :param rank_stabilised: divide by √r in place of r (Kalajdzievski, 2023).
    :param freeze: leave the trunk as it is, and learn :math:`A_t`, :math:`B_t` and heads only. It pays for a trunk
        that has learned; by default all learn together.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen",
        "LoRA: low-rank adaptation of large language models",
        "ICLR",
        2022,
    )

    rank: int = 8
    alpha: float = 16.0
    rank_stabilised: bool = False
    freeze: bool = False

    def __post_init__(self) -> None:
        at_least(1, rank=self.rank)
        above(0, alpha=self.alpha)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk and low-rank matrices for every task."""
        tasks = tuple(target.task.name for target in targets)
        stages = encoder.build(spec)
        trunk = TaskTrunk(stages, len(tasks))
        variation = LowRank(self, len(tasks), trunk.matrices())
        return Varied(tasks, stages.stem, trunk, variation, width=stages.width, frozen=self.freeze)


class LowRank(Variation):
    """A and B of T tasks for every matrix."""

    def __init__(self, options: LoRA, tasks: int, shapes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.options = options
        ranks = [min(options.rank, *shape) for shape in shapes]
        drawn = (
            torch.empty(tasks, r, inputs).uniform_(-(inputs**-0.5), inputs**-0.5)
            for r, (_, inputs) in zip(ranks, shapes, strict=True)
        )
        self.a = nn.ModuleList(PerTask(start) for start in drawn)
        self.b = nn.ModuleList(PerTask(torch.zeros(tasks, out, r)) for r, (out, _) in zip(ranks, shapes, strict=True))

    def forward(self, place: int, base: Tensor, positions: Sequence[int]) -> Tensor:
        """See :class:`Variation`."""
        a, b = of_tasks(self.a, place, positions), of_tasks(self.b, place, positions)
        return merged(base, a, b, self.options.alpha, stabilised=self.options.rank_stabilised)


def merged(base: Tensor, a: Tensor, b: Tensor, alpha: float, *, stabilised: bool = False) -> Tensor:
    """``W + (alpha / r) B A``, stacked: ``(1, O, I), (G, r, I), (G, O, r) -> (G, O, I)``."""
    rank = a.shape[1]
    scale = alpha / (math.sqrt(rank) if stabilised else rank)
    return torch.baddbmm(base.expand(len(a), *base.shape[1:]), b, a, alpha=scale)
