"""Weights & Biases."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from polytask.errors import MissingExtraError
from polytask.training.events import EpochDone, Event, RunFinished, RunStopped
from polytask.training.listeners.numbers import flat_numbers


class WandB:
    """Logs every epoch to a new run.

    :param project: its name there.
    :param parameters: the resolved configuration.
    :raises MissingExtraError: wandb is not installed.
    """

    def __init__(self, project: str = "polytask", parameters: Mapping[str, Any] | None = None) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise MissingExtraError("wandb", "wandb", "Logging to Weights & Biases") from error
        self._run = wandb.init(project=project, config=dict(parameters or {}))

    def __call__(self, event: Event) -> None:
        """Log an epoch."""
        if isinstance(event, EpochDone):
            self._run.log(flat_numbers(event.record), step=event.record.epoch)
        elif isinstance(event, RunFinished):
            self._run.finish()
        elif isinstance(event, RunStopped):
            self._run.finish(exit_code=1)
