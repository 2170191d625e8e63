"""Hard parameter sharing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Hard(Sharing):
    """One trunk for all tasks, one head per task: ``y_t = h_t(f(x))``."""

    paper: ClassVar[Paper | None] = Paper("Caruana", "Multitask learning", "Machine Learning", 1997)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """One trunk."""
        return HardShared(encoder.build(spec), tuple(target.task.name for target in targets))


class HardShared(Shared):
    """One trunk; nothing but the heads belongs to a single task."""

    def __init__(self, stages: Stages, tasks: tuple[str, ...]) -> None:
        super().__init__(tasks, stages.width)
        self.stages = stages

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """One vector for all tasks."""
        return Representation(self.stages(inputs))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of the trunk."""
        return self.stages.parameters()

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """The trunk for all tasks, nothing for one."""
        return self.stages.state_dict() if task is None else {}
