"""Experiment trackers on request: opened when training has begun, so that a refused run leaves nothing with them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polytask.errors import MissingExtraError, UnknownNameError, did_you_mean
from polytask.training.events import Event, Listener, RunStarted
from polytask.training.listeners import TRACKERS


class Tracked:
    """A tracker that opens with the first event of a run.

    :param name: of :data:`polytask.training.listeners.TRACKERS`.
    :param folder: of the run. :param config: what is noted beside the numbers.
    :raises UnknownNameError: no such tracker.
    :raises MissingExtraError: its package is not installed.
    """

    def __init__(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        if name not in TRACKERS:
            raise UnknownNameError(f"{name!r} is no tracker.", where="--track", do=did_you_mean(name, TRACKERS))
        if find_spec(name) is None:
            raise MissingExtraError(name, name, f"--track {name}")
        self._name, self._folder, self._config = name, folder, config
        self._tracker: Listener | None = None

    def __call__(self, event: Event) -> None:
        """Hand an event on."""
        if isinstance(event, RunStarted):
            self._tracker = TRACKERS[self._name](self._folder, self._config)
        if self._tracker is not None:
            self._tracker(event)
