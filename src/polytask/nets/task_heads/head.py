"""The contract of a head that is more than one linear layer: trees, tag sequences, spans, texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from polytask.batch import Ragged, Targets
from polytask.nets.units import Units


class TaskHead(nn.Module, ABC):
    """The head of one task. Built from its target and the width D of what it reads.

    All its weights serve this task alone.
    """

    @abstractmethod
    def forward(self, units: Units) -> Any:
        """Scores of whatever the task chooses from, as tensors in any structure."""

    @abstractmethod
    def loss_sums(self, outputs: Any, targets: Targets) -> tuple[Tensor, Tensor]:
        """The summed loss and what it is a sum over (labelled words, tokens): two scalars; both 0 without labels."""

    @abstractmethod
    def answers(self, outputs: Any) -> Ragged:
        """The best choice for every row."""
