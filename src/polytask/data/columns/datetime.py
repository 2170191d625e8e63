"""Dates and times: seconds since the training mean, and the hands of the clock and calendar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.data.cells import MISSING_NUMBERS, dated, without, wrong_kind
from polytask.data.columns.column import Column
from polytask.errors import DataError

Part = Literal["month", "weekday", "hour"]
PARTS: tuple[Part, ...] = ("month", "weekday", "hour")
SECONDS = 1_000_000
"""Microseconds in a second."""


@dataclass(frozen=True)
class Datetime(Column):
    """Elapsed time, standardised (it carries the year), and sine and cosine of the cyclic parts.

    :param mean, scale: of the seconds since 1970 over the training rows.
    :param parts: the cycles that varied in training: month of the year (day included), day of the week, hour of the
        day (minutes included), on the wall clock of the column.
    :param flag: whether a missing flag is written.
    """

    name: str
    mean: float
    scale: float
    parts: tuple[Part, ...] = ()
    flag: bool = False
    clip: float = 10.0

    @property
    def width(self) -> int:
        """Elapsed, two per cycle, and the flag."""
        return 1 + 2 * len(self.parts) + self.flag

    def encode(self, series: pl.Series, offset: int = 0) -> NDArray[np.float32]:
        """``(N, width)`` float32; missing dates are 0 everywhere but in the flag."""
        times = wall_clock(series, offset)
        elapsed = (seconds(times) - self.mean) / self.scale
        columns = [np.clip(elapsed, -self.clip, self.clip)]
        for part in self.parts:
            angle = 2.0 * np.pi * turns(times, part)
            columns += [np.sin(angle), np.cos(angle)]
        values = np.nan_to_num(np.stack(columns, 1), nan=0.0)
        if self.flag:
            values = np.concatenate([values, times.is_null().to_numpy()[:, None]], 1)
        return values.astype(np.float32)

    def describe(self) -> str:
        """Cycles and flag in words."""
        cycles = f", cycles of {', '.join(self.parts)}" if self.parts else ""
        return f"datetime, elapsed time{cycles}{', with a missing flag' if self.flag else ''}"


def fit_datetime(name: str, series: pl.Series, clip: float) -> Datetime | None:
    """Mean and scale of the training dates and the cycles that vary; None if the date is constant."""
    times = wall_clock(series)
    flag = times.null_count() > 0
    elapsed = seconds(times.drop_nulls())
    if len(elapsed) == 0:
        return None
    scale = float(elapsed.std())
    if scale == 0:
        return Datetime(name, float(elapsed[0]), 1.0, flag=True, clip=clip) if flag else None
    present = times.drop_nulls()
    varying = tuple(part for part in PARTS if np.ptp(_steps(present, part)) > 0)
    return Datetime(name, float(elapsed.mean()), scale, varying, flag, clip)


def wall_clock(series: pl.Series, offset: int = 0) -> pl.Series:
    """A column of dates, times of day, or text that reads as dates, as Datetime without zone, in microseconds.

    :raises DataError: a value that is no date, with its row.
    """
    kind = series.dtype
    if kind == pl.String:
        cells = without(MISSING_NUMBERS, series)
        if cells.null_count() == len(cells):
            return pl.Series(series.name, [None] * len(cells), dtype=pl.Datetime("us"))
        parsed = dated(cells)
        if parsed is None:
            raise _no_date(cells, offset)
        series, kind = parsed, parsed.dtype
    if kind == pl.Time:
        return series.cast(pl.Duration("us")).cast(pl.Int64).cast(pl.Datetime("us"))
    if kind in (pl.Null, pl.Date, pl.Datetime):
        zoned = isinstance(kind, pl.Datetime) and kind.time_zone is not None
        return (series.dt.replace_time_zone(None) if zoned else series).cast(pl.Datetime("us"))
    raise wrong_kind(series, "dates", offset)


def seconds(times: pl.Series) -> NDArray[np.float64]:
    """Seconds since 1970, NaN where missing."""
    return times.dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / SECONDS


def turns(times: pl.Series, part: Part) -> NDArray[np.float64]:
    """Position in a cycle, in turns from 0 to 1, NaN where missing."""
    hour = times.dt.hour() + times.dt.minute() / 60.0
    if part == "hour":
        turn = hour / 24.0
    elif part == "weekday":
        turn = (times.dt.weekday() - 1) / 7.0
    else:
        turn = (times.dt.month() - 1 + (times.dt.day() - 1) / 31.0) / 12.0
    return turn.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _steps(times: pl.Series, part: Part) -> NDArray[np.float64]:
    return np.asarray(np.floor(turns(times, part) * {"month": 12, "weekday": 7, "hour": 24}[part] + 1e-9))


def _no_date(cells: pl.Series, offset: int) -> DataError:
    present = cells.is_not_null().arg_true()
    bad = next((int(i) for i in present if dated(cells[int(i) : int(i) + 1]) is None), int(present[0]))
    return DataError(
        f"expected a date, found {cells[bad]!r}.",
        where=f"column {cells.name!r}, row {offset + bad + 1}",
        do="Write dates as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, all in one form; leave the cell empty if it is missing.",
    )
