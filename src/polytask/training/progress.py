"""How far a run has come: everything that changes while it trains, and its state for a checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from polytask.record.run import EpochRecord
from polytask.training.selection import Selection


@dataclass
class Progress:
    """How far a run has come.

    :param epoch: epochs done.
    :param position: batches of the next epoch that are done.
    :param step: optimizer steps done.
    :param skipped: task -> steps of the running epoch without it.
    :param streaks: task -> steps in a row without it; under ``""`` those without any update.
    :param kept: epoch -> weights of the model after it; only epochs that :class:`Selection` keeps.
    :param kpi: task -> how well it is solved on training rows, for a balancer that asks.
    :param seconds: of earlier sessions of a run that was resumed.
    """

    selection: Selection
    epoch: int = 0
    position: int = 0
    step: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    kpi: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """A tree of plain values and tensors."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["selection"] = dataclasses.asdict(self.selection)
        fields["history"] = [dataclasses.asdict(record) for record in self.history]
        return fields

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Progress:
        """The progress behind :meth:`state`."""
        selection = Selection(**{**state["selection"], "primary": tuple(state["selection"]["primary"])})
        history = [EpochRecord.restore(record) for record in state["history"]]
        return cls(**{**state, "selection": selection, "history": history})

    def count_streaks(self, bad: tuple[str, ...], present: tuple[str, ...], updated: bool) -> None:
        """Count steps in a row without a task; a task that took part starts at 0 again."""
        for name in present:
            self.streaks.pop(name, None)
        if updated:
            self.streaks.pop("", None)
        for name in (*bad, *(() if updated else ("",))):
            self.streaks[name] = self.streaks.get(name, 0) + 1
        for name in bad:
            self.skipped[name] = self.skipped.get(name, 0) + 1
