"""The record of a run: ``run.json``, ``epochs.csv`` and ``weights.csv``, renewed after every epoch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from polytask.record.folder import write_file
from polytask.record.run import EpochRecord, RunRecord
from polytask.training.events import EpochDone, Event, RunFinished, RunStarted

EPOCHS, WEIGHTS = "epochs.csv", "weights.csv"
HEAD = ("epoch", "steps", "seconds", "lr", "task", "train", "validation", "metric", "gain", "skipped")


class RunFiles:
    """Keeps the record of a run on disk.

    Every file is written anew from the whole history, so a run that was killed and resumed has no row twice.

    :param folder: of the run.
    :param record: as it is so far.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record

    def __call__(self, event: Event) -> None:
        """Write what an event changes."""
        if isinstance(event, RunStarted):
            history = self.record.history[: event.epoch]
            self.record = replace(
                self.record, parameters=event.parameters, status="running", history=history, layout=event.layout
            )
            self.record.write(self.folder)
        elif isinstance(event, EpochDone):
            self.record = replace(
                self.record,
                history=(*self.record.history, event.record),
                steps=event.record.steps,
                seconds=event.record.seconds,
            )
            self._write()
        elif isinstance(event, RunFinished):
            self.record = replace(
                self.record,
                status="finished",
                reason=event.reason,
                steps=event.steps,
                seconds=event.seconds,
                best_epoch=event.best_epoch,
                best_epoch_per_task=dict(event.best_epoch_per_task),
            )
            self._write()

    def _write(self) -> None:
        history = self.record.history
        write_file(self.folder / EPOCHS, _csv(HEAD, _epoch_rows(history)))
        tasks = list(history[0].weights) if history else []
        weights = ([r.epoch, *(_number(r.weights[t]) for t in tasks)] for r in history)
        write_file(self.folder / WEIGHTS, _csv(("epoch", *tasks), weights))
        self.record.write(self.folder)


def _epoch_rows(history: Sequence[EpochRecord]) -> Iterable[list[object]]:
    for r in history:
        for task in r.train:
            scores = (r.train[task], r.validation[task], r.metric[task], r.gains[task])
            start = [r.epoch, r.steps, f"{r.seconds:.3f}", _number(r.lr), task]
            yield [*start, *map(_number, scores), r.skipped.get(task, 0)]


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)
