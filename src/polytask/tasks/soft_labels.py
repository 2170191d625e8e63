"""Labels that are probabilities: several annotators, another model, or doubt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.errors import DataError, TaskError
from polytask.tasks.labels import bad_row, column_of

Array = NDArray[np.float64]

_ROUNDING = 0.02
"""How far from 1 probabilities may sum up to, as they do when they were written with two digits."""


def one_probability(frame: pl.DataFrame, column: str, task: str) -> Array:
    """The probability of yes ``(N,)``, NaN where missing.

    :raises DataError: a number outside of 0 to 1, with its row.
    """
    series = column_of(frame, column, task)
    values = series.cast(pl.Float64, strict=False).fill_nan(None)
    wrong = (values.is_null() & series.is_not_null()) | ~values.is_between(0, 1).fill_null(True)
    if series.dtype.is_float():
        wrong &= series.is_not_nan()
    if wrong.any():
        raise bad_row(series, wrong, "a probability from 0 to 1", task, "Labels without probabilities: one column.")
    return values.fill_null(float("nan")).to_numpy()


def probabilities(frame: pl.DataFrame, columns: Sequence[str], task: str) -> Array:
    """The probability of every class ``(N, C)``, all NaN where one of them is missing.

    :raises DataError: a number outside of 0 to 1, or probabilities that do not sum up to 1, with the row.
    """
    table = np.stack([one_probability(frame, column, task) for column in columns], 1)
    table[np.isnan(table).any(1)] = np.nan
    total = table.sum(1)
    wrong = np.abs(total - 1) > _ROUNDING
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"expected probabilities that sum up to 1, found {total[row]:.4g}.",
            where=f"task {task!r}, columns {', '.join(map(repr, columns))}, row {row + 1}",
        )
    shares: Array = table / total[:, None]
    return shares


def mass_of(table: Array, task: str, columns: Sequence[str]) -> Array:
    """How much every class has of the labelled rows ``(C,)``: the counts of classes, of soft labels.

    :raises TaskError: no labelled row, or all are the same.
    """
    known = table[~np.isnan(table).any(1)]
    place = f"task {task!r}, columns {', '.join(map(repr, columns))}"
    if not len(known):
        raise TaskError("every label is missing in the training rows.", where=place, do="Leave this task out.")
    if (known == known[0]).all():
        shown = ", ".join(f"{p:g}" for p in known[0])
        raise TaskError(
            f"every label in the training rows is {shown}: there is nothing to learn.",
            where=place,
            do="Leave this task out, or check the split and the columns.",
        )
    mass: Array = np.maximum(known.sum(0), 1e-6)  # a class without any would have an infinite best logit
    return mass


def class_names(columns: Sequence[str], task: str) -> tuple[str, ...]:
    """The classes behind columns of probabilities: ``mood_p_good`` of the task ``mood`` is ``good``.

    >>> class_names(("mood_p_bad", "mood_p_good"), "mood"), class_names(("rain", "sun"), "weather")
    (('bad', 'good'), ('rain', 'sun'))
    """
    head = f"{task}_p_"
    return tuple(column.removeprefix(head) or column for column in columns)
