"""Rows at random, with the same mixture of classes in every part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from polytask.data.splits.split import Rows, Split, cut, sizes_of
from polytask.errors import DataError

BINS = 10
"""Quantile bins of a numeric column with more distinct values than :data:`CLASSES`."""
CLASSES = 50


@dataclass(frozen=True)
class Stratified(Split):
    """Every part has the mixture of classes of the whole table.

    Rows of a class are spread over the parts in the shares of the split; numbers with more than 50 distinct values are
    stratified by decile, and missing values are a class of their own.

    :param column: the task column (or any other) to stratify by.
    """

    column: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The column to stratify by."""
        return (self.column,)

    def divide(self, frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Sequence[Rows]:
        """Shuffles within each class, then deals every part its share of each."""
        strata = _strata(frame[self.column])
        order = rng.permutation(rows)
        members = [order[strata[order] == stratum] for stratum in np.unique(strata)]
        parts = [cut(rows_of_class, self.shares) for rows_of_class in members]
        return [np.concatenate(part) for part in zip(*_even(parts, sizes_of(rows, self.shares)), strict=True)]


def _strata(column: pl.Series) -> Rows:
    if column.dtype.is_nested():
        raise DataError(f"cannot stratify by a column of type {column.dtype}.", where=f"column {column.name!r}")
    plain = column.fill_nan(None) if column.dtype.is_float() else column
    if plain.dtype.is_numeric() and plain.n_unique() > CLASSES:
        ranks = plain.rank("ordinal").cast(pl.Int64)
        plain = (ranks - 1) * BINS // (len(plain) - plain.null_count())
    codes = plain.rank("dense").cast(pl.Int64).fill_null(0).rename("code")
    counts = codes.value_counts(name="rows")
    alone = counts.filter(pl.col("rows") == 1)
    if alone.height:
        value = column[int((codes == alone["code"][0]).arg_true()[0])]
        raise DataError(
            f"the class {value!r} has a single row, which cannot be in every part ({alone.height} such classes).",
            where=f"column {column.name!r}",
            do="Join rare classes, drop these rows, or split at random.",
        )
    return codes.to_numpy().astype(np.int64)


def _even(parts: list[list[Rows]], sizes: list[int]) -> list[list[Rows]]:
    """Moves single rows between the parts until these have their sizes.

    Rounding within each class alone would give the largest part every remainder when classes are many and small.
    """
    excess = [sum(len(p[i]) for p in parts) - size for i, size in enumerate(sizes)]
    for pieces in sorted(parts, key=lambda p: -sum(len(rows) for rows in p)):
        giver, taker = int(np.argmax(excess)), int(np.argmin(excess))
        if excess[giver] <= 0:
            break
        if len(pieces[giver]) > 1:
            pieces[taker] = np.append(pieces[taker], pieces[giver][-1])
            pieces[giver] = pieces[giver][:-1]
            excess[giver] -= 1
            excess[taker] += 1
    return parts
