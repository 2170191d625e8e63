"""Reading label columns: numbers with NaN for missing, or codes of classes; errors with the row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.errors import DataError, TaskError, did_you_mean

Label: TypeAlias = bool | int | float | str
"""A class label as the user wrote it."""

_WHOLE = 2.0**53  # whole numbers are exact in float64 up to here
_LARGEST = 1e150  # squares of larger numbers overflow


def column_of(frame: pl.DataFrame, column: str, task: str) -> pl.Series:
    """One target column.

    :raises DataError: the table has no such column; the nearest name is offered.
    """
    if column not in frame.columns:
        raise DataError(
            f"the table has no column {column!r}.", where=f"task {task!r}", do=did_you_mean(column, frame.columns)
        )
    return frame[column]


def numbers(series: pl.Series, task: str) -> NDArray[np.float64]:
    """A numeric target ``(N,)`` as float64, NaN where missing.

    :raises DataError: text, dates or an infinite value, with the first row (1 is the first row of data).
    """
    dtype = series.dtype
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    elif not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Null)):
        raise DataError(
            f"expected numbers, found values of type {dtype}.",
            where=f"task {task!r}, column {series.name!r}",
            do="Turn the column into numbers first (dates: for example days since a fixed day).",
        )
    values = series.cast(pl.Float64, strict=False)
    bad = values.is_null() & series.is_not_null()
    if bad.any():
        raise bad_row(series, bad, "a number", task, "Correct or empty the cell, or declare a Multiclass task.")
    _refuse_infinite(values, task)
    huge = values.abs().fill_nan(None) > _LARGEST
    if huge.any():
        raise bad_row(values, huge, f"a number of at most {_LARGEST:g}", task, "Use a larger unit for this column.")
    return values.fill_null(float("nan")).to_numpy()


def plain(series: pl.Series, task: str) -> pl.Series:
    """Class labels as Boolean, Int64, Float64 or String, null where missing.

    Whole floats become integers: they are what pandas makes of integers with gaps.

    :raises DataError: infinite values, or a type that has no labels (dates, lists).
    """
    dtype = series.dtype
    if dtype in (pl.Boolean, pl.String):
        return series
    if dtype.is_integer() and dtype != pl.UInt64:
        return series.cast(pl.Int64)
    if dtype.is_numeric():
        values = series.cast(pl.Float64).fill_nan(None)
        _refuse_infinite(values, task)
        whole = ((values == values.round()) & (values.abs() <= _WHOLE)).all()
        return values.cast(pl.Int64) if whole else values
    if isinstance(dtype, (pl.Categorical, pl.Enum)) or dtype == pl.Null:
        return series.cast(pl.String)
    raise DataError(
        f"expected labels (text, numbers or booleans), found values of type {dtype}.",
        where=f"task {task!r}, column {series.name!r}",
        do="Turn the column into labels or numbers first (dates: for example days since a fixed day).",
    )


def distinct(series: pl.Series, task: str) -> tuple[tuple[Label, ...], NDArray[np.int64]]:
    """The classes in a training column in sort order, and how often each occurs.

    :raises TaskError: no label at all, or only one class.
    """
    table = plain(series, task).drop_nulls().rename("label").value_counts(name="n").sort("label")
    classes = tuple(table["label"].to_list())
    place = f"task {task!r}, column {series.name!r}"
    if not classes:
        raise TaskError("every label is missing in the training rows.", where=place, do="Leave this task out.")
    if len(classes) == 1:
        raise constant(classes[0], place)
    return classes, table["n"].cast(pl.Int64).to_numpy()


def codes(series: pl.Series, classes: tuple[Label, ...], task: str) -> NDArray[np.float32]:
    """Positions in ``classes`` ``(N,)`` as float32; NaN where the label is missing or was never seen."""
    labels = _like(plain(series, task), classes)
    if labels.dtype == pl.Boolean:
        return _float32(labels if classes == (False, True) else ~labels)
    old = pl.Series(list(classes)).cast(labels.dtype)
    new = pl.Series(np.arange(len(classes), dtype=np.float32))
    return _float32(labels.replace_strict(old, new, default=None, return_dtype=pl.Float32))


def unseen(series: pl.Series, classes: tuple[Label, ...], task: str) -> dict[str, int]:
    """Labels outside ``classes`` with how often they occur, most frequent first."""
    missed = np.isnan(codes(series, classes, task))
    labels = plain(series, task).filter(pl.Series(missed)).drop_nulls()
    if labels.is_empty():
        return {}
    table = labels.cast(pl.String).rename("label").value_counts(name="n").sort(["n", "label"], descending=[True, False])
    return dict(zip(table["label"].to_list(), table["n"].to_list(), strict=True))


def decode(classes: tuple[Label, ...], positions: NDArray[np.int64]) -> list[Label] | NDArray[np.generic]:
    """Labels at ``positions`` in ``classes``, with the type that the user's labels had."""
    if any(isinstance(label, str) for label in classes):
        return [classes[i] for i in positions.tolist()]
    values: NDArray[np.generic] = np.asarray(classes)[positions]
    return values


def constant(label: Label, where: str) -> TaskError:
    """The error about labels that are all the same."""
    shown = f"{label:g}" if isinstance(label, float) else repr(label)
    return TaskError(
        f"every label in the training rows is {shown}: there is nothing to learn.",
        where=where,
        do="Leave this task out, or check the split and the column.",
    )


def bad_row(series: pl.Series, bad: pl.Series, expected: str, task: str, do: str | None = None) -> DataError:
    """The error about the first row where ``bad`` is true."""
    row = bad.fill_null(False).arg_max() or 0
    return DataError(
        f"expected {expected}, found {series[row]!r}.",
        where=f"task {task!r}, column {series.name!r}, row {row + 1}",
        do=do,
    )


def _like(labels: pl.Series, classes: tuple[Label, ...]) -> pl.Series:
    """The labels in the type of the classes, so that 1, 1.0 and '1' are the same class; null where that fails."""
    kinds = {type(label) for label in classes}
    if str in kinds:
        return labels.cast(pl.String)
    if labels.dtype == pl.Boolean and kinds == {bool}:
        return labels
    if labels.dtype == pl.Int64 and kinds == {int}:
        return labels
    return labels.cast(pl.Float64, strict=False)


def _float32(series: pl.Series) -> NDArray[np.float32]:
    return series.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _refuse_infinite(values: pl.Series, task: str) -> None:
    infinite = values.is_infinite()
    if infinite.any():
        raise bad_row(values, infinite, "a finite number", task, "Empty the cell if the label is unknown.")
