"""TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polytask.errors import MissingExtraError
from polytask.training.events import EpochDone, Event, RunFinished, RunStopped
from polytask.training.listeners.numbers import flat_numbers


class TensorBoard:
    """Writes every epoch as scalars.

    :param folder: for the event files.
    :raises MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard", "Logging to TensorBoard") from error
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, event: Event) -> None:
        """Log an epoch."""
        if isinstance(event, EpochDone):
            for name, value in flat_numbers(event.record).items():
                self._writer.add_scalar(name, value, event.record.epoch)
        elif isinstance(event, RunFinished | RunStopped):
            self._writer.close()
