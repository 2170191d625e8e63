"""``run.json``: what one training leaves on disk. Plain values; a number that is not known is NaN (``null``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from polytask.record.folder import read_file, write_file
from polytask.record.json import Number, decode, encode
from polytask.record.layout import LayoutFacts

RUN_FILE = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class GradientFacts:
    """How the gradients of T tasks lay to each other in one epoch, over the steps that looked at them.

    :param tasks: the T tasks.
    :param steps: steps that looked at gradients.
    :param conflicts: share of the pairs of tasks, over these steps, whose gradients point apart (a cosine below 0).
    :param norms: ``(T,)``: mean length of each task's gradient; NaN for a task that was never there.
    :param cosines: mean cosine of each pair, NaN for a pair that never met: the upper triangle of ``(T, T)`` without
        its diagonal, row by row.
    """

    tasks: tuple[str, ...]
    steps: int
    conflicts: Number
    norms: tuple[Number, ...]
    cosines: tuple[Number, ...]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Losses are in units of each task's best constant predictor (see ``TrainingOptions``).

    :param epoch: from 1.
    :param steps: optimizer steps since the start of the run.
    :param seconds: wall time since the start of the run.
    :param lr: learning rate of the last step.
    :param train: task -> mean training loss over the labelled rows of the epoch.
    :param validation: task -> validation loss; NaN without validation labels.
    :param metric: task -> its main metric on the validation rows.
    :param gains: task -> relative gain over the constant predictor, by loss or metric (``select_by``); NaN if unknown.
    :param gain: mean of the gains of the primary tasks: what chooses the best epoch.
    :param weights: task -> mean weight that the balancer gave.
    :param diagnostics: what the way of sharing says of itself on validation rows, by name (the entropy of a gate).
    :param skipped: task -> steps without it because its loss was not finite (only tasks that had one).
    :param gradients: what the balancer saw of the task gradients; None for one that looks at losses alone.
    """

    epoch: int
    steps: int
    seconds: Number
    lr: Number
    train: dict[str, Number]
    validation: dict[str, Number]
    metric: dict[str, Number]
    gains: dict[str, Number]
    gain: Number
    weights: dict[str, Number]
    skipped: dict[str, int] = field(default_factory=dict)
    diagnostics: dict[str, Number] = field(default_factory=dict)
    gradients: GradientFacts | None = None

    @staticmethod
    def restore(values: dict[str, Any]) -> EpochRecord:
        """The record whose ``dataclasses.asdict`` these values are, whether or not tuples have become lists."""
        return _EPOCHS.validate_python(values)


_EPOCHS = TypeAdapter(EpochRecord)


@dataclass(frozen=True)
class SourceFacts:
    """One table that the run read.

    :param origin: absolute path; empty for a frame that was handed over in Python.
    :param size: bytes of the file.
    :param sha256: of the file.
    """

    name: str
    rows: int
    role: Literal["train", "validation"] = "train"
    origin: str = ""
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class RunRecord:
    """Everything about one training but its weights.

    :param polytask: version that wrote it.
    :param config: the resolved configuration of the learner.
    :param seed: the seed of the run.
    :param sources: what was read.
    :param encoded: digest of the encoded training and validation rows; a resumed run must find the same.
    :param status: ``"running"`` until the loop has ended (also after a kill).
    :param reason: why the loop ended.
    :param best_epoch: from 1; the epoch whose weights are kept when there is one model.
    :param layout: who shares what; None in records of older versions.
    """

    polytask: str
    config: dict[str, Any]
    seed: int
    sources: tuple[SourceFacts, ...]
    encoded: str
    train_rows: int
    validation_rows: int
    parameters: int
    status: Literal["running", "finished"] = "running"
    reason: str = ""
    steps: int = 0
    seconds: Number = 0.0
    best_epoch: int = 0
    best_epoch_per_task: dict[str, int] = field(default_factory=dict)
    history: tuple[EpochRecord, ...] = ()
    layout: LayoutFacts | None = None
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write ``run.json`` into ``folder``, whole or not at all."""
        write_file(folder / RUN_FILE, encode(self).encode())

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read ``run.json`` from ``folder``.

        :raises polytask.errors.RunError: missing, damaged, or of a newer format.
        """
        path = folder / RUN_FILE
        return decode(cls, read_file(path), where=str(path), newest=FORMAT)
