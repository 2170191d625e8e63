"""One trunk whose weight matrices every task varies: what LoRA and TAPS have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from polytask.batch import Features, Inputs, Targets
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation
from polytask.nets.sharing.task_trunk import TaskTrunk, common_parts, common_state
from polytask.nets.stacked import repeated


class Variation(nn.Module, ABC):
    """How tasks vary weight matrices. Every parameter stacks one slice per task."""

    def penalty(self) -> Tensor | None:
        """What it adds to the total of a training step."""
        return None

    def advance(self, progress: float) -> None:
        """See :meth:`Shared.advance`."""

    def diagnostics(self) -> dict[str, Tensor]:
        """See :meth:`Shared.diagnostics`."""
        return {}

    @abstractmethod
    def forward(self, place: int, base: Tensor, positions: Sequence[int]) -> Tensor:
        """The matrices of tasks at G positions, ``(G, O, I)``, from the matrix of all, ``(1, O, I)``.

        :param place: which of the matrices of the trunk.
        """


class Varied(PartedShared):
    """A trunk under the weights of every task.

    :param variation: what the tasks do to the matrices of ``trunk``.
    :param frozen: leave the trunk as it is; only variations and heads learn.
    """

    def __init__(
        self,
        tasks: tuple[str, ...],
        stem: nn.Module,
        trunk: TaskTrunk,
        variation: Variation,
        *,
        width: int,
        frozen: bool = False,
    ) -> None:
        super().__init__(tasks, width)
        self.stem = stem.requires_grad_(not frozen)
        self.trunk = trunk.requires_grad_(not frozen)
        self.variation = variation

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the trunk makes of the rows under the weights of each task: ``(N, T, D)``."""
        positions = self.positions(tasks)
        stem: Features = self.stem(inputs)
        features = repeated(stem, len(positions))
        for block in range(self.trunk.blocks):
            features = self.trunk.step(block, features, positions, self.variation)
        return Representation(self.trunk.end(features, positions, self.variation).transpose(0, 1))

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """What the variation asks for."""
        return self.variation.penalty()

    def advance(self, progress: float) -> None:
        """See :class:`Shared`."""
        self.variation.advance(progress)

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """What the variation tells."""
        return self.variation.diagnostics()

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk."""
        return common_parts(self.stem, self.trunk)

    def common_state(self) -> dict[str, Tensor]:
        """The trunk, named as in hard sharing."""
        return common_state(self.stem, self.trunk)

    def own(self) -> Mapping[str, nn.Module]:
        """What the tasks vary, and their running statistics."""
        return {"variation": self.variation, "statistics": self.trunk.statistics}
