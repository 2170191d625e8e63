"""Predictions as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.data.saved import AnySchema
from polytask.data.schema import Schema
from polytask.tasks.task import Target


def words_of(schema: AnySchema, frame: pl.DataFrame) -> list[list[str]] | None:
    """The words of each row of a table of texts; None for columns."""
    if isinstance(schema, Schema):
        return None
    found: list[list[str]] = schema.with_words(frame)["words"].to_list()
    return found


def presented_by(
    target: Target, outputs: Tensor | Ragged, words: Sequence[Sequence[str]] | None
) -> Mapping[str, list[Any] | NDArray[Any]]:
    """The columns that a task's answers make."""
    answer = target.answer(outputs)
    return target.present(answer) if words is None else target.present_words(answer, words)


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
