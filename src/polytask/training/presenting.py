"""Predictions as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl


def side_by_side(presented: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of all tasks; a name that several tasks would write is preceded by the task and a dot in each."""
    times = Counter(name for columns in presented.values() for name in columns)
    return {
        name if times[name] == 1 else f"{task}.{name}": values
        for task, columns in presented.items()
        for name, values in columns.items()
    }


def like(frame: Any, columns: Mapping[str, Any]) -> Any:
    """A table of the same library as ``frame``."""
    if type(frame).__module__.split(".")[0] == "pandas":
        kind: Any = type(frame)
        return kind({name: np.asarray(values) for name, values in columns.items()}, index=frame.index)
    return pl.DataFrame(dict(columns))
