"""Which epoch is kept, and when to stop: plain values, no model in sight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Selection:
    """The best epochs so far. Epochs count from 1; 0 means that no epoch could be scored.

    Gains are relative gains over the constant predictor: higher is better, NaN is unknown and never best.

    :param primary: tasks that have a say in the common epoch.
    :param per_task: stop only when no primary task has become better, instead of their mean.
    :param first: the first epoch that can be kept. Earlier ones are seen, but neither chosen nor counted as stale.
    """

    primary: tuple[str, ...]
    per_task: bool = False
    first: int = 1
    epoch: int = 0
    gain: float = -math.inf
    epochs: Mapping[str, int] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    last: int = 0
    """Epochs seen."""
    better_at: int = 0
    """The last epoch that was better in the sense that early stopping asks for."""

    def mean_gain(self, gains: Mapping[str, float]) -> float:
        """Mean over the primary tasks whose gain is known; NaN if there is none."""
        known = [gains[name] for name in self.primary if not math.isnan(gains.get(name, math.nan))]
        return math.fsum(known) / len(known) if known else math.nan

    def after(self, gains: Mapping[str, float]) -> Selection:
        """The selection after one more epoch with these gains by task."""
        now = self.last + 1
        if now < self.first:
            return replace(self, last=now, better_at=now)
        mean = self.mean_gain(gains)
        improved = {name for name, gain in gains.items() if gain > self.gains.get(name, -math.inf)}
        better = mean > self.gain
        counted = bool(improved & set(self.primary)) if self.per_task else better
        return replace(
            self,
            epoch=now if better else self.epoch,
            gain=mean if better else self.gain,
            epochs={**self.epochs, **dict.fromkeys(sorted(improved), now)},
            gains={**self.gains, **{name: gains[name] for name in sorted(improved)}},
            last=now,
            better_at=now if counted else self.better_at,
        )

    @property
    def stale(self) -> int:
        """Epochs since something was better."""
        return self.last - self.better_at

    def kept(self, tasks: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
        """Epoch -> the tasks whose weights come from it; a task that was never scored takes the common epoch.

        Without any scored epoch, or when none was late enough, it is the last one.
        """
        common = self.epoch or self.last
        found: dict[int, tuple[str, ...]] = {}
        for name in tasks:
            epoch = self.epochs.get(name, common) if self.per_task else common
            found[epoch] = (*found.get(epoch, ()), name)
        return found


def first_settled(settled: float, epochs: int) -> int:
    """The first epoch (from 1) before which at least this share of the epochs is done; ``epochs + 1`` if there is none.

    >>> first_settled(0.0, 40), first_settled(0.7, 40), first_settled(1.0, 40)
    (1, 29, 41)
    """
    return next(epoch for epoch in range(1, epochs + 2) if epoch > epochs or (epoch - 1) / epochs >= settled)
