"""Task-adaptive parameter sharing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least, within
from polytask.nets.sharing.conditioned import PerTask, of_tasks
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.nets.sharing.straight_through import step
from polytask.nets.sharing.task_trunk import TaskTrunk
from polytask.nets.sharing.varied import Variation, Varied
from polytask.tasks.task import Target


@dataclass(frozen=True)
class TAPS(Sharing):
    r"""One trunk, of which every task chooses the layers that it replaces by its own.

    .. math:: W^l_t = W^l + \mathbf{1}[s^l_t \ge \tau] \, \Delta^l_t, \qquad
              \text{penalty} = \lambda \sum_t \mathrm{mean}_l \, \lvert s^l_t \rvert

    The indicator passes its gradient on to :math:`s` as it is (straight-through); :math:`\Delta` starts at zero, so
    that the network starts as hard sharing. A layer is a weight matrix of the blocks or the pool; biases, norms and
    the stem are common, running statistics of batch norms are kept by task.

    Deviations: the paper's trunk is trained before and frozen, which ``freeze`` asks for; by default all learn
    together. Batch norms keep statistics by task whether their layer is the task's own or not.

    :param threshold: τ.
    :param start: where every s starts.
    :param sparsity_weight: λ.
    :param warmup: share of the epochs before the penalty sets in.
    :param freeze: leave the trunk as it is.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Wallingford, Li, Achille, Ravichandran, Fowlkes, Bhotika, Soatto",
        "Task adaptive parameter sharing for multi-task learning",
        "CVPR",
        2022,
    )

    threshold: float = 0.1
    start: float = 0.15
    sparsity_weight: float = 1.0
    warmup: float = 0.1
    freeze: bool = False

    def __post_init__(self) -> None:
        at_least(0, threshold=self.threshold, start=self.start, sparsity_weight=self.sparsity_weight)
        within(0, 1, warmup=self.warmup)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk, and for every task a residual and a score per layer."""
        tasks = tuple(target.task.name for target in targets)
        stages = encoder.build(spec)
        trunk = TaskTrunk(stages, len(tasks))
        variation = Residuals(self, len(tasks), trunk.matrices())
        return Varied(tasks, stages.stem, trunk, variation, width=stages.width, frozen=self.freeze)


class Residuals(Variation):
    """Scores and residuals of T tasks for L matrices."""

    def __init__(self, options: TAPS, tasks: int, shapes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.options = options
        self.is_warm = options.warmup == 0
        self.scores = nn.Parameter(torch.full((tasks, len(shapes)), options.start))
        self.residuals = nn.ModuleList(PerTask(torch.zeros(tasks, *shape)) for shape in shapes)

    def forward(self, place: int, base: Tensor, positions: Sequence[int]) -> Tensor:
        """See :class:`Variation`."""
        is_own = step(self.scores[list(positions), place], self.options.threshold)
        return torch.addcmul(base, is_own[:, None, None], of_tasks(self.residuals, place, positions))

    def penalty(self) -> Tensor | None:
        """The pull of all scores towards sharing."""
        if not (self.is_warm and self.options.sparsity_weight):
            return None
        return self.options.sparsity_weight * self.scores.abs().mean(1).sum()

    def advance(self, progress: float) -> None:
        """The penalty sets in after the warm-up."""
        self.is_warm = progress >= self.options.warmup

    def diagnostics(self) -> dict[str, Tensor]:
        """The share of the layers that are a task's own, over all tasks."""
        return {"own_layers": (self.scores.detach() >= self.options.threshold).float().mean()}
