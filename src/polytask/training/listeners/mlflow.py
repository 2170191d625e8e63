"""MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from polytask.errors import MissingExtraError
from polytask.training.events import EpochDone, Event, RunFinished, RunStopped
from polytask.training.listeners.numbers import flat_numbers


class MLflow:
    """Logs every epoch as metrics of a new run of the current experiment.

    :param parameters: the resolved configuration, logged once.
    :raises MissingExtraError: mlflow is not installed.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            self._mlflow: Any = importlib.import_module("mlflow")
        except ImportError as error:
            raise MissingExtraError("mlflow", "mlflow", "Logging to MLflow") from error
        self._mlflow.start_run()
        self._mlflow.log_dict(dict(parameters or {}), "config.json")

    def __call__(self, event: Event) -> None:
        """Log an epoch."""
        if isinstance(event, EpochDone):
            self._mlflow.log_metrics(flat_numbers(event.record), step=event.record.epoch)
        elif isinstance(event, RunFinished):
            self._mlflow.end_run()
        elif isinstance(event, RunStopped):
            self._mlflow.end_run(status="FAILED")
