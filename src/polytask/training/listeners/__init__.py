"""Listeners: callables on the events of the loop, one per file.

``RunFiles`` (the record, always there when a run has a folder), ``ProgressLines``, and the trackers below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polytask.training.events import Listener
from polytask.training.listeners.mlflow import MLflow
from polytask.training.listeners.progress import ProgressLines
from polytask.training.listeners.run_files import RunFiles
from polytask.training.listeners.tensorboard import TensorBoard
from polytask.training.listeners.wandb import WandB

TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], Listener]] = {
    "tensorboard": lambda folder, config: TensorBoard(folder / "tensorboard"),
    "mlflow": lambda folder, config: MLflow(config),
    "wandb": lambda folder, config: WandB(parameters=config),
}
"""Experiment trackers by configuration name: ``TRACKERS[name](run folder, resolved configuration)``."""

__all__ = ["TRACKERS", "MLflow", "ProgressLines", "RunFiles", "TensorBoard", "WandB"]
