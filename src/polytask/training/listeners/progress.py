"""Progress for people, on stderr: a live bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import math

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from polytask.errors import plural
from polytask.record.run import EpochRecord
from polytask.training.events import EpochDone, Event, LossSkipped, RunFinished, RunStarted, RunStopped, StepDone

SHOWN = 4
"""Tasks that a line has room for."""


class ProgressLines:
    """Tells how training goes.

    :param title: what is trained, for runs of several trainings.
    :param console: where to write; default: stderr.
    """

    def __init__(self, title: str = "train", console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, StepDone):
            if self._bar is not None:
                self._bar.update(self._task, completed=event.step)
        elif isinstance(event, EpochDone):
            self._show(_epoch_line(event.record, self._epochs, better=event.better))
        elif isinstance(event, LossSkipped):
            self._skipped(event)
        elif isinstance(event, RunFinished):
            self._finish(event)
        elif isinstance(event, RunStopped):
            self._close()

    def _start(self, event: RunStarted) -> None:
        self._epochs = event.epochs
        again = f", from epoch {event.epoch + 1}" if event.epoch else ""
        self.console.print(
            f"{self.title}: {plural(len(event.tasks), 'task')}, {plural(event.parameters, 'parameter')} "
            f"on {event.device}, "
            f"seed {event.seed}{again}",
            highlight=False,
        )
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task(self.title, total=event.steps, completed=event.step)
            self._bar.start()

    def _show(self, line: str) -> None:
        if self._bar is None:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            self._bar.update(self._task, description=line)

    def _skipped(self, event: LossSkipped) -> None:
        if event.in_a_row == 1:
            what = f"the loss of task {event.task!r}" if event.task else "the gradient"
            line = f"epoch {event.epoch}, step {event.step}: {what} is not finite; left out of this step"
            self.console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _finish(self, event: RunFinished) -> None:
        self._close()
        self.console.print(
            f"{self.title}: {event.reason} after {plural(event.epochs, 'epoch')}, "
            f"{plural(event.steps, 'step')}, {event.seconds:.1f} s; "
            f"best epoch {event.best_epoch}",
            highlight=False,
            markup=False,
        )


def _epoch_line(record: EpochRecord, epochs: int, *, better: bool) -> str:
    gain = "no validation rows" if math.isnan(record.gain) else f"gain {record.gain:.4f}"
    tasks = [f"{name} {value:.4g}" for name, value in record.metric.items() if not math.isnan(value)]
    more = f", and {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    star = " *" if better else ""
    return f"epoch {record.epoch}/{epochs}  {gain}{star}  {', '.join(tasks[:SHOWN])}{more}".rstrip()
