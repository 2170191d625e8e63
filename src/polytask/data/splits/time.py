"""The past trains, the future judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from polytask.data.splits.split import PARTS, Rows, Split, sizes_of
from polytask.errors import DataError, plural


@dataclass(frozen=True)
class Time(Split):
    """The earliest rows train, the next choose the checkpoint, the latest judge.

    Rows of equal time stay together, on the side where the cut first falls, so shares are approximate. No chance is
    involved: the seed does not matter.

    :param column: dates or numbers that order the rows.
    """

    column: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of times."""
        return (self.column,)

    def divide(self, frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Sequence[Rows]:
        """Stretches of the sorted rows."""
        times = frame[self.column]
        _check(times)
        ranks = times.rank("min").to_numpy()  # equal times share the rank of the first of them
        order = np.argsort(ranks, kind="stable")
        first, second = np.cumsum(sizes_of(rows, self.shares))[:2]
        sorted_ranks = ranks[order]
        cuts = [int(np.searchsorted(sorted_ranks, sorted_ranks[at])) if at < rows else rows for at in (first, second)]
        parts = np.split(order, cuts)
        for part, share, name in zip(parts, self.shares, PARTS, strict=True):
            if share > 0 and len(part) == 0 and rows >= len(PARTS):
                time, count = times.rename("time").value_counts(sort=True, name="rows").row(0)
                raise DataError(
                    f"the {name} part would be empty: {count:,} of {rows:,} rows have the time {time}, and rows of "
                    "equal time stay together.",
                    where=f"column {self.column!r}",
                    do="Choose a column of finer times, other shares, or another split.",
                )
        return parts


def _check(times: pl.Series) -> None:
    place = f"column {times.name!r}"
    if times.dtype not in (pl.Date, pl.Datetime, pl.Time, pl.Duration) and not times.dtype.is_numeric():
        raise DataError(
            f"expected dates or numbers to sort by, found the type {times.dtype}.",
            where=place,
            do="Write dates as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS.",
        )
    missing = times.is_null() | times.is_nan() if times.dtype.is_float() else times.is_null()
    if missing.any():
        raise DataError(
            f"there is no time in {plural(int(missing.sum()), 'row')}.",
            where=f"{place}, row {int(missing.arg_true()[0]) + 1}",
            do="Fill the column or drop these rows.",
        )
