"""Whole groups at random: no person, site or device on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from polytask.data.splits.split import Rows, Split
from polytask.errors import DataError


@dataclass(frozen=True)
class Group(Split):
    """Rows of one group (a person, a site) are never in two parts.

    Groups are taken in random order, each by the part that is furthest below its share of the rows. A row without a
    group is a group of its own.

    :param column: names the group of each row.
    """

    column: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of groups."""
        return (self.column,)

    def divide(self, frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Sequence[Rows]:
        """Deals whole groups."""
        codes = _codes(frame[self.column])
        groups = int(codes.max()) + 1
        wanted = sum(share > 0 for share in self.shares)
        if groups < wanted:
            raise DataError(
                f"expected at least {wanted} groups, one for each part, found {groups}.",
                where=f"column {self.column!r}",
                do="Choose another column, or set validation or test to 0.",
            )
        owner = _deal(np.bincount(codes), np.array(self.shares) * rows, rng)
        return [np.flatnonzero(owner[codes] == part) for part in range(3)]


def _codes(column: pl.Series) -> Rows:
    codes = column.rank("dense").cast(pl.Int64).to_frame("group").with_row_index("row")
    alone = pl.int_range(pl.len()) + (pl.col("group").max().fill_null(0) + 1)
    return codes.select(pl.coalesce("group", alone).rank("dense") - 1).to_series().to_numpy().astype(np.int64)


def _deal(counts: Rows, goals: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> Rows:
    """The part of each group. The first groups go one to each part, so that none stays empty."""
    owner = np.zeros(len(counts), np.int64)
    filled = np.zeros(3)
    parts = np.flatnonzero(goals > 0)
    for position, group in enumerate(rng.permutation(len(counts))):
        part = (
            parts[np.argmin((filled / np.maximum(goals, 1e-12))[parts])] if position >= len(parts) else parts[position]
        )
        owner[group] = part
        filled[part] += counts[group]
    return owner
