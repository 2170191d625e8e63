"""An epoch as flat numbers, for experiment trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from polytask.record.run import EpochRecord


def flat_numbers(record: EpochRecord) -> dict[str, float]:
    """``"validation/<task>"`` and the like; what is not known is left out.

    >>> from math import nan
    >>> flat_numbers(EpochRecord(1, 8, 0.5, 0.1, {"a": 1.0}, {"a": nan}, {}, {}, 0.25, {"a": 1.0}))
    {'lr': 0.1, 'gain': 0.25, 'train/a': 1.0, 'weight/a': 1.0}
    """
    groups: dict[str, Mapping[str, float]] = {
        "train": record.train,
        "validation": record.validation,
        "metric": record.metric,
        "gain": record.gains,
        "weight": record.weights,
        "skipped": record.skipped,
    }
    if (seen := record.gradients) is not None:
        groups["gradient"] = dict(zip(seen.tasks, seen.norms, strict=True))
    named = {f"{group}/{task}": value for group, values in groups.items() for task, value in values.items()}
    everything = {"lr": record.lr, "gain": record.gain} | named
    if seen is not None:
        everything["conflicts"] = seen.conflicts
    return {name: float(value) for name, value in everything.items() if not math.isnan(value)}
