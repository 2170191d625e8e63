"""Categories: a code for every frequent level, one for the rare ones, 0 for missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.data.cells import words_of, wrong_kind
from polytask.data.columns.column import Column
from polytask.data.options import SchemaOptions


@dataclass(frozen=True)
class Categorical(Column):
    """Codes: 0 missing, ``1..L`` the kept levels, ``L + 1`` the rare levels of training, if there were any.

    A level that training never saw shares the code of the rare ones where there is one (it was trained on levels
    seldom seen), else it is 0.

    :param levels: kept levels, the most frequent first.
    :param rare: number of training levels that share the last code.
    """

    name: str
    levels: tuple[str, ...]
    rare: int = 0

    @property
    def width(self) -> int:
        """No numeric column."""
        return 0

    @property
    def cardinality(self) -> int:
        """Missing, the levels, and the rare ones."""
        return 1 + len(self.levels) + (self.rare > 0)

    def encode(self, series: pl.Series, offset: int = 0) -> NDArray[np.int32]:
        """``(N,)`` int32 codes."""
        if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary):
            raise wrong_kind(series, "categories", offset)
        words = words_of(series)
        unknown = len(self.levels) + 1 if self.rare else 0
        codes = words.replace_strict(
            pl.Series(self.levels, dtype=pl.String),
            pl.Series(np.arange(1, len(self.levels) + 1, dtype=np.int32)),
            default=unknown,
            return_dtype=pl.Int32,
        )
        return codes.set(words.is_null(), 0).to_numpy().astype(np.int32, copy=False)

    def describe(self) -> str:
        """Levels in words."""
        rare = f", {self.rare} rare level{'s share' if self.rare > 1 else ' has'} one code" if self.rare else ""
        return f"categorical, {len(self.levels)} levels{rare}"


def fit_categorical(name: str, series: pl.Series, options: SchemaOptions) -> Categorical | None:
    """The frequent levels of the training rows; None if there is nothing to tell apart."""
    words = words_of(series).rename("level")
    counts = words.drop_nulls().value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    kept = counts.filter(pl.col("rows") >= options.min_count)[: options.max_levels]
    rare = counts.height - kept.height
    if kept.height == 0 or (counts.height == 1 and words.null_count() == 0):
        return None
    return Categorical(name, tuple(kept["level"].to_list()), rare)
