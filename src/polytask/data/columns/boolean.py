"""Truth values: 1 and -1, 0 where missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.data.cells import MISSING_NUMBERS, without, wrong_kind
from polytask.data.columns.column import Column
from polytask.errors import DataError

WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class Boolean(Column):
    """True is 1, false is -1, missing is 0, with a flag beside it when a training value was missing."""

    name: str
    flag: bool = False

    @property
    def width(self) -> int:
        """The value, and its missing flag."""
        return 1 + self.flag

    def encode(self, series: pl.Series, offset: int = 0) -> NDArray[np.float32]:
        """``(N, 1)`` or ``(N, 2)`` float32."""
        value = self._signs(series, offset)
        columns = [np.nan_to_num(value, nan=0.0)] + ([np.isnan(value)] if self.flag else [])
        return np.stack(columns, 1).astype(np.float32)

    def describe(self) -> str:
        """Kind and flag in words."""
        return f"boolean{', with a missing flag' if self.flag else ''}"

    def _signs(self, series: pl.Series, offset: int) -> NDArray[np.float64]:
        kind = series.dtype
        if not (kind in (pl.Boolean, pl.Null, pl.String, pl.Categorical, pl.Enum) or kind.is_numeric()):
            raise wrong_kind(series, "true or false", offset)
        words = without(MISSING_NUMBERS, series.cast(pl.String)).str.to_lowercase()
        truth = words.replace_strict(WORDS, default=None, return_dtype=pl.Boolean)
        stray = (truth.is_null() & words.is_not_null()).arg_true()
        if len(stray):
            row = int(stray[0])
            raise DataError(
                f"expected true or false, found {series[row]!r}.",
                where=f"column {series.name!r}, row {offset + row + 1}",
                do="Correct the value, or leave it empty if it is missing.",
            )
        return truth.cast(pl.Float64).fill_null(float("nan")).to_numpy() * 2.0 - 1.0
