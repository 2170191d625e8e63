"""Hard sharing with a tower for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import Stack
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Towers(Sharing):
    r"""One trunk for all tasks, then ``depth`` layers of its own for each: :math:`y_t = h_t(g_t(f(x)))`.

    A layer is linear, ReLU, dropout. The trunk is shared, towers are private.

    :param depth: layers of each tower.
    :param width: units of each layer.
    :param dropout: share of units dropped after each layer in training.
    """

    paper: ClassVar[Paper | None] = Paper("Caruana", "Multitask learning", "Machine Learning", 1997)

    depth: int = 1
    width: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        at_least(1, depth=self.depth, width=self.width)
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"expected a share from 0 to below 1, found {self.dropout}.", where="dropout")

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """A trunk and T towers."""
        stages = encoder.build(spec)
        towers = Stack([self._tower(stages.width) for _ in targets], stackable=True)
        return TowersShared(tuple(target.task.name for target in targets), stages, towers, self.width)

    def _tower(self, inputs: int) -> nn.Sequential:
        sizes = [inputs, *[self.width] * (self.depth - 1)]
        layers = ([nn.Linear(size, self.width), nn.ReLU(), nn.Dropout(self.dropout)] for size in sizes)
        return nn.Sequential(*(layer for group in layers for layer in group))


class TowersShared(PartedShared):
    """A trunk, and one tower for each task."""

    def __init__(self, tasks: tuple[str, ...], stages: Stages, towers: Stack, width: int) -> None:
        super().__init__(tasks, width)
        self.stages = stages
        self.towers = towers

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end of each tower, ``(N, T, width)``."""
        chosen = self.positions(tasks)
        values: Tensor = self.stages(inputs)
        return Representation(self.towers.rows(chosen, values.expand(len(chosen), *values.shape)).transpose(0, 1))

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk."""
        return {"stages": self.stages}

    def own(self) -> Mapping[str, nn.Module]:
        """The towers."""
        return {"towers": self.towers}
