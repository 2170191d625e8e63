"""Tasks that share a subset of the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import at_least, within
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.straight_through import step
from polytask.tasks.task import Target


@dataclass(frozen=True)
class FeatureSubset(Sharing):
    r"""One trunk, of whose features every task reads a subset: :math:`y_t = h_t(m_t \odot f(x))`.

    Masks :math:`m_t \in \{0, 1\}^D` are static, a block of features that all tasks read and a block for each task, or
    learned from scores: :math:`m_{td} = \mathbf{1}[s_{td} \ge \tau]` with a straight-through gradient, as Piggyback
    does for weights. Learned masks start with all features. The trunk is shared, masks are private.

    :param shared: share of the features that all tasks read; the rest is divided evenly. For static masks.
    :param learned: learn the masks.
    :param threshold: τ.
    :param start: where every score starts.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Mallya, Davis, Lazebnik",
        "Piggyback: adapting a single network to multiple tasks by learning to mask weights",
        "ECCV",
        2018,
    )

    shared: float = 0.5
    learned: bool = False
    threshold: float = 5e-3
    start: float = 1e-2

    def __post_init__(self) -> None:
        within(0, 1, shared=self.shared)
        at_least(0, threshold=self.threshold, start=self.start)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk and the masks."""
        tasks = tuple(target.task.name for target in targets)
        stages = encoder.build(spec)
        return FeatureSubsetShared(tasks, stages, Masks(self, len(tasks), stages.width))


class FeatureSubsetShared(PartedShared):
    """One trunk and T masks."""

    def __init__(self, tasks: tuple[str, ...], stages: Stages, masks: Masks) -> None:
        super().__init__(tasks, stages.width)
        self.stages = stages
        self.masks = masks

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The features that each task reads, zero elsewhere: ``(N, T, D)``."""
        values: Tensor = self.stages(inputs)
        return Representation(values[:, None] * self.masks()[self.positions(tasks)])

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """The share of the features that each task reads."""
        read = self.masks().detach().mean(1)
        return {f"features_read/{task}": read[i] for i, task in enumerate(self.tasks)}

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk."""
        return {"stages": self.stages}

    def own(self) -> Mapping[str, nn.Module]:
        """The masks."""
        return {"masks": self.masks}


class Masks(nn.Module):
    """The masks of T tasks on D features: ``(T, D)``. Static ones are weights too: they outlive the other tasks."""

    def __init__(self, options: FeatureSubset, tasks: int, width: int) -> None:
        super().__init__()
        self.options = options
        if options.learned:
            self.scores = nn.Parameter(torch.full((tasks, width), options.start))
        else:
            self.register_buffer("scores", static_masks(tasks, width, options.shared))

    def forward(self) -> Tensor:
        """``(T, D)`` of 0 and 1."""
        return step(self.scores, self.options.threshold) if self.options.learned else self.scores


def static_masks(tasks: int, width: int, shared: float) -> Tensor:
    """A block that all tasks read, then one block for each.

    >>> static_masks(2, 4, 0.5).tolist()
    [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]
    """
    common = round(shared * width)
    owner = torch.arange(width - common) * tasks // max(width - common, 1)
    own = owner == torch.arange(tasks)[:, None]
    return torch.cat([torch.ones(tasks, common), own.float()], 1)
