"""One trunk that every task passes in its own way: what FiLM and adapters have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs
from polytask.nets.encoders.encoder import Stages
from polytask.nets.sharing.parted import PartedShared, named_state
from polytask.nets.sharing.sharing import Representation
from polytask.nets.sharing.task_trunk import TaskTrunk, common_parts, common_state
from polytask.nets.stacked import repeated


class Condition(nn.Module, ABC):
    """What a task does to the features behind a block.

    :meth:`common` and :meth:`own` name its modules as :class:`PartedShared` wants them.
    """

    @abstractmethod
    def forward(self, block: int, values: Tensor, positions: Sequence[int]) -> Tensor:
        """Stacked values ``(G, N, ...)`` behind a block, changed by the tasks at these G positions."""

    @abstractmethod
    def own(self) -> Mapping[str, nn.Module]:
        """Modules that stack one slice per task."""

    def common(self) -> Mapping[str, nn.Module]:
        """Modules that serve all tasks."""
        return {}


class Conditioned(PartedShared):
    """A trunk with a condition behind every block; it runs once per task, all tasks as one batch.

    :param frozen: leave the trunk as it is; only conditions and heads learn.
    """

    def __init__(self, tasks: tuple[str, ...], stages: Stages, condition: Condition, *, frozen: bool = False) -> None:
        super().__init__(tasks, stages.width)
        self.stem = stages.stem.requires_grad_(not frozen)
        self.trunk = TaskTrunk(stages, len(tasks)).requires_grad_(not frozen)
        self.condition = condition

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the trunk makes of the rows for each task: ``(N, T, D)``."""
        positions = self.positions(tasks)
        stem: Features = self.stem(inputs)
        features = repeated(stem, len(positions))
        for block in range(self.trunk.blocks):
            features = self.trunk.step(block, features, positions)
            features = Features(self.condition(block, features.values, positions), features.mask)
        return Representation(self.trunk.end(features, positions).transpose(0, 1))

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk."""
        return {**common_parts(self.stem, self.trunk), **self.condition.common()}

    def common_state(self) -> dict[str, Tensor]:
        """The trunk, named as in hard sharing."""
        return common_state(self.stem, self.trunk) | named_state(self.condition.common())

    def own(self) -> Mapping[str, nn.Module]:
        """The tasks' conditions, and their running statistics."""
        return {"statistics": self.trunk.statistics, **self.condition.own()}


class PerTask(nn.Module):
    """One vector, or several, for each task.

    :param start: ``(T, ...)``, the first values.
    """

    values: nn.Parameter

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(start)

    def of(self, positions: Sequence[int]) -> Tensor:
        """Those of some tasks: ``(G, ...)``."""
        return self.values if len(positions) == len(self.values) else self.values[list(positions)]


def of_tasks(layers: nn.ModuleList, layer: int, positions: Sequence[int]) -> Tensor:
    """What tasks at G positions have in one of several layers: ``(G, ...)``."""
    found = layers[layer]
    if not isinstance(found, PerTask):
        raise TypeError(f"expected weights per task, found {type(found).__name__}")
    return found.of(positions)


def along_channels(vectors: Tensor, values: Tensor) -> Tensor:
    """Vectors ``(G, C)`` in a shape that meets the channels of ``values``.

    Channels are last in ``(G, N, C)`` and ``(G, N, L, C)``, third in maps ``(G, N, C, H, W)``.
    """
    if values.ndim == 5:
        return vectors[:, None, :, None, None]
    return vectors.view(len(vectors), *[1] * (values.ndim - 2), -1)


def on_channels(values: Tensor, weight: Tensor) -> Tensor:
    """A linear map of the channels for each task: ``(G, N, ..., C), (G, O, C) -> (G, N, ..., O)``; maps alike.

    ``values`` may be ``(1, N, ...)``, the same for all tasks.
    """
    last = values.movedim(2, -1) if values.ndim == 5 else values
    flat = last.reshape(len(last), -1, last.shape[-1])
    mapped = torch.matmul(flat, weight.transpose(1, 2))
    mapped = mapped.view(len(weight), *last.shape[1:-1], weight.shape[1])
    return mapped.movedim(-1, 2) if values.ndim == 5 else mapped
