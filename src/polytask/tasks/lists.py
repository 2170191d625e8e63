"""Reading list columns, and lists of a row as arrays of objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from polytask.batch import Ragged
from polytask.errors import DataError, TaskError
from polytask.tasks.labels import column_of
from polytask.tasks.task import Array


@dataclass(frozen=True)
class Lists:
    """The lists of the labelled rows of a column, one after the other.

    :param values: ``(M,)``; null where an element is missing.
    :param counts: ``(n,)`` int64: length of the list of each labelled row.
    :param rows: ``(n,)`` int64: places of the labelled rows among all rows of the column.
    """

    values: pl.Series
    counts: NDArray[np.int64]
    rows: NDArray[np.int64]

    def row_of(self, element: int) -> int:
        """The row, counted from 1, that an element stands in."""
        return int(self.rows[np.searchsorted(self.counts.cumsum(), element, side="right")]) + 1


def lists_of(frame: pl.DataFrame, column: str, task: str, expected: str = "one label per word") -> Lists:
    """The lists in a column; rows without a label are left out.

    :raises DataError: no such column, or no lists in it.
    """
    series = column_of(frame, column, task)
    place = f"task {task!r}, column {series.name!r}"
    if series.dtype == pl.Null:
        series = series.cast(pl.List(pl.Null))
    if isinstance(series.dtype, pl.Array):
        series = series.cast(pl.List(series.dtype.inner))
    if not isinstance(series.dtype, pl.List):
        raise DataError(
            f"expected a list per row, {expected}, found values of type {series.dtype}.",
            where=place,
            do="Read the corpus with format='conllu' or 'conll', or give every row a list.",
        )
    rows = np.flatnonzero(series.is_not_null().to_numpy())
    known = series.drop_nulls()
    counts = known.list.len().cast(pl.Int64).to_numpy()
    return Lists(known.filter(pl.Series(counts > 0)).explode(), counts, rows)


def texts(lists: Lists, task: str, column: str) -> pl.Series:
    """The elements as text, null where missing.

    :raises DataError: elements that are no labels.
    """
    dtype = lists.values.dtype
    if isinstance(dtype, (pl.Categorical, pl.Enum)) or dtype in (pl.String, pl.Null, pl.Boolean) or dtype.is_integer():
        return lists.values.cast(pl.String)
    raise DataError(f"expected lists of text, found lists of {dtype}.", where=f"task {task!r}, column {column!r}")


def paired(frame: pl.DataFrame, columns: tuple[str, str], task: str, expected: tuple[str, str]) -> tuple[Lists, Lists]:
    """Two list columns that belong together; a row is labelled where it has both.

    :raises DataError: the first row whose lists differ in length.
    """
    for column in columns:
        column_of(frame, column, task)
    both = pl.all_horizontal(pl.col(*columns).is_not_null())
    known = frame.select(pl.when(both).then(pl.col(column)).alias(column) for column in columns)
    one, other = (lists_of(known, column, task, words) for column, words in zip(columns, expected, strict=True))
    wrong = np.flatnonzero(one.counts != other.counts)
    if len(wrong):
        i = int(wrong[0])
        raise DataError(
            f"expected lists of equal length, found {one.counts[i]} of {columns[0]!r} and {other.counts[i]} of "
            f"{columns[1]!r}.",
            where=f"task {task!r}, row {int(one.rows[i]) + 1}",
        )
    return one, other


def frequencies(values: pl.Series, task: str, column: str, *, at_least: int = 2) -> tuple[tuple[str, ...], Array]:
    """The different texts in sort order, and how often each occurs.

    :raises TaskError: no label at all, or fewer different ones than needed.
    """
    table = values.drop_nulls().rename("label").value_counts(name="n").sort("label")
    place = f"task {task!r}, column {column!r}"
    if table.is_empty():
        raise TaskError("every label is missing in the training rows.", where=place, do="Leave this task out.")
    if table.height < at_least:
        raise TaskError(
            f"every label in the training rows is {table['label'][0]!r}: there is nothing to learn.",
            where=place,
            do="Leave this task out, or check the split and the column.",
        )
    return tuple(table["label"].to_list()), table["n"].cast(pl.Float64).to_numpy()


def positions(values: pl.Series, classes: Iterable[str], other: float = -1.0) -> NDArray[np.float32]:
    """Places of texts among the classes ``(M,)`` as float32; NaN where missing, ``other`` where not among them."""
    known = list(classes)
    old, new = pl.Series(known, dtype=pl.String), pl.Series(np.arange(len(known), dtype=np.float32))
    found = values.cast(pl.String).replace_strict(old, new, default=other, return_dtype=pl.Float32)
    return (
        pl.select(pl.when(values.is_null()).then(float("nan")).otherwise(found).cast(pl.Float32)).to_series().to_numpy()
    )


def counted(values: pl.Series) -> dict[str, int]:
    """Texts with how often they occur, most frequent first."""
    table = values.drop_nulls().cast(pl.String).rename("label").value_counts(name="n")
    table = table.sort(["n", "label"], descending=[True, False])
    return dict(zip(table["label"].to_list(), table["n"].to_list(), strict=True))


def per_row(parts: Iterable[Any], count: int) -> Array:
    """``(count,)`` objects; numpy must not make one array of lists that happen to be of equal length."""
    out = np.empty(count, dtype=object)
    for i, part in enumerate(parts):
        out[i] = part
    return out


def cut(values: NDArray[Any], counts: NDArray[np.int64]) -> Array:
    """``(M, ...)`` as ``(n,)`` objects: the values of each row, as views."""
    ends = counts.cumsum()
    return per_row((values[end - count : end] for end, count in zip(ends, counts, strict=True)), len(counts))


def joined(rows: Array, width: int | None = None) -> NDArray[Any]:
    """The values of all rows one after the other; the inverse of :func:`cut`.

    :param width: of two-dimensional parts, for the case that there is no row.
    """
    if len(rows) == 0:
        return np.zeros(0 if width is None else (0, width))
    return np.concatenate(list(rows))


def lengths(rows: Array) -> NDArray[np.int64]:
    """``(n,)``: values of each row."""
    return np.fromiter((len(row) for row in rows), np.int64, len(rows))


def of_rows(rows: Array, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``(n,)``: how many of the chosen values ``(M,)`` each row holds."""
    owner = np.repeat(np.arange(len(rows)), lengths(rows))
    return np.bincount(owner[chosen], minlength=len(rows))


def arrays(encoded: Ragged) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values ``(M, W)`` and lengths ``(n,)`` of lists, as numpy."""
    return encoded.values.detach().double().cpu().numpy(), encoded.lengths.cpu().numpy()


def ragged(values: NDArray[Any], rows: NDArray[np.int64], counts: NDArray[np.int64], total: int) -> Ragged:
    """Lists of some of ``total`` rows; the others have none.

    :param values: ``(K, W)``. :param rows: places of the rows that have a list. :param counts: their lengths.
    """
    every = np.full(total, -1, dtype=np.int64)
    every[rows] = counts
    return Ragged(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), torch.from_numpy(every))
