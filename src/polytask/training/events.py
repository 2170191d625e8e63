"""What the loop says while it works; listeners are callables on these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from polytask.batch import TaskLosses
from polytask.record.layout import LayoutFacts
from polytask.record.run import EpochRecord


@dataclass(frozen=True)
class RunStarted:
    """Training begins, or goes on after ``epoch`` epochs and ``step`` optimizer steps.

    :param epochs: most epochs of the whole run.
    :param steps: most optimizer steps of the whole run.
    :param parameters: trainable numbers of the model.
    :param device: where it trains.
    :param layout: who shares what.
    """

    tasks: tuple[str, ...]
    epochs: int
    steps: int
    parameters: int
    device: str
    seed: int
    epoch: int = 0
    step: int = 0
    layout: LayoutFacts | None = None


@dataclass(frozen=True)
class StepDone:
    """One optimizer step. Tensors stay where they are: reading a number costs a synchronisation, so few should.

    :param epoch: from 1.
    :param step: optimizer steps since the start of the run, this one included.
    :param losses: of the present tasks, in the units that the balancer saw; detached.
    :param weights: ``(T,)``: the weights that the balancer gave them.
    """

    epoch: int
    step: int
    losses: TaskLosses
    weights: Tensor


@dataclass(frozen=True)
class LossSkipped:
    """A step went without a task because its loss was not finite; or without everything.

    :param task: its name; None when the gradient was not finite, or no task was left: then nothing was updated.
    :param in_a_row: steps in a row.
    """

    epoch: int
    step: int
    task: str | None
    in_a_row: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch has ended and was scored on the validation rows.

    :param better: it is the best so far.
    """

    record: EpochRecord
    better: bool


@dataclass(frozen=True)
class CheckpointSaved:
    """The state of the run is on disk."""

    path: Path
    epoch: int
    step: int


@dataclass(frozen=True)
class RunFinished:
    """The loop has ended.

    :param reason: ``"all epochs done"``, ``"no better epoch for 6 epochs"``, ``"max_steps reached"``.
    :param best_epoch: from 1.
    """

    reason: str
    epochs: int
    steps: int
    seconds: float
    best_epoch: int
    best_epoch_per_task: Mapping[str, int]


@dataclass(frozen=True)
class RunStopped:
    """The loop ended by an error or an interrupt: the last event, for listeners that hold something open."""

    reason: str


Event: TypeAlias = RunStarted | StepDone | LossSkipped | EpochDone | CheckpointSaved | RunFinished | RunStopped
Listener: TypeAlias = Callable[[Event], None]
