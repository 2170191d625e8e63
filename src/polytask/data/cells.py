"""Cells of text as numbers, truth values and dates; which words mean "missing".

The type of a column is decided on the whole column, never on its first rows. Rows are counted from 1, without the
header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.errors import DataError

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "<na>", "null", "none", "nil", "?"})
"""Words that mean "missing" in every column of text (compared without case)."""
MISSING_NUMBERS = MISSING_WORDS | {"-", "--", ".", "missing"}
"""Words that mean "missing" in a column of numbers or dates; in a column of categories they are levels."""

STRAY_SHARE = 0.05
"""At most this share of words in a column of numbers is taken for mistakes rather than for categories."""
STRAY_NUMBERS = 5
"""So many numbers must speak for a column of numbers before a single word in it is taken for a mistake."""

DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y")
TIMES = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
)
ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
LEADING_ZERO = r"^[+-]?0\d"
LOOKS_DATED = re.compile(r"^(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}\.\d{1,2}\.\d{4})")


def without(words: Iterable[str], text: pl.Series) -> pl.Series:
    """Text with surrounding blanks cut and missing words as nulls."""
    trimmed = text.str.strip_chars()
    return trimmed.set(trimmed.str.to_lowercase().is_in(list(words)).fill_null(False), None)


def settle(text: pl.Series, *, decimal_comma: bool = False) -> pl.Series:
    """A column of text as what it holds: integers, numbers, truth values, dates, or text after all.

    Digits with leading zeros (postcodes, "007") stay text. A column in which nearly all cells are numbers and a few are
    words is refused, because it would silently become a category of hundreds of levels.

    :raises DataError: naming column, row and word.
    """
    plain = without(MISSING_WORDS, text)
    cells = without(MISSING_NUMBERS, plain)
    filled = len(cells) - cells.null_count()
    if filled == 0:
        return plain if plain.null_count() < len(plain) else pl.Series(text.name, [None] * len(text), dtype=pl.Null)
    numbers = numeric(cells, decimal_comma=decimal_comma)
    stray = (numbers.is_null() & cells.is_not_null()).arg_true()
    if len(stray) == 0:
        return plain if cells.str.contains(LEADING_ZERO).any() else numbers
    found = filled - len(stray)
    if found >= STRAY_NUMBERS and (len(stray) == 1 or len(stray) <= STRAY_SHARE * filled):
        raise stray_words(text, stray, found)
    if found:
        return plain
    for reading in (truth, dated):
        read = reading(cells)
        if read is not None:
            return read
    return plain


def stray_words(text: pl.Series, stray: pl.Series, numbers: int) -> DataError:
    """The error about words in a column of numbers."""
    row = int(stray[0])
    return DataError(
        f"expected a number, found {text[row]!r}; {numbers:,} cells here are numbers, {len(stray):,} are not.",
        where=f"column {text.name!r}, row {row + 1}",
        do="Correct the value, or leave the cell empty if it is missing. "
        f"If the column holds categories, say so: schema={{'categorical': [{text.name!r}]}}, in a configuration "
        f"columns: {{categorical: [{text.name}]}}.",
    )


def numeric(cells: pl.Series, *, decimal_comma: bool = False) -> pl.Series:
    """Text as Int64 where all cells are whole, else as Float64; null where a cell is no number."""
    if decimal_comma:
        cells = cells.str.replace(r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$", "$1.$2")
    whole = cells.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == cells.null_count() else cells.cast(pl.Float64, strict=False)


def truth(cells: pl.Series) -> pl.Series | None:
    """Text as Boolean if it is true and false throughout."""
    lower = cells.str.to_lowercase()
    known = lower.is_in(["true", "false"]) | lower.is_null()
    return (lower == "true") if known.all() else None


def dated(cells: pl.Series) -> pl.Series | None:
    """Text as Date or Datetime if one unambiguous format fits every cell."""
    first = _first(cells)
    if first is None or LOOKS_DATED.match(first) is None:
        return None
    for form in DATES:
        dates = cells.str.to_date(form, strict=False)
        if dates.null_count() == cells.null_count():
            return dates
    for form in TIMES + ZONED:
        times = cells.str.to_datetime(form, time_unit="us", strict=False)
        if times.null_count() == cells.null_count():
            return times
    return None


def _first(cells: pl.Series) -> str | None:
    present = cells.drop_nulls()
    return None if present.is_empty() else str(present[0])


def numbers_of(series: pl.Series, offset: int = 0) -> NDArray[np.float64]:
    """A column as float64, NaN where it is missing.

    :param offset: rows before this piece of the table, for the row number in the message.
    :raises DataError: a value that is no number, with its row.
    """
    kind = series.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum):
        cells = without(MISSING_NUMBERS, series.cast(pl.String))
        numbers = numeric(cells)
        stray = (numbers.is_null() & cells.is_not_null()).arg_true()
        if len(stray):
            row = int(stray[0])
            raise DataError(
                f"expected a number, found {series[row]!r}.",
                where=f"column {series.name!r}, row {offset + row + 1}",
                do="The column was numeric in training. Correct the value, or leave it empty if it is missing.",
            )
        series = numbers
    elif isinstance(kind, pl.Duration):
        series = series.dt.total_microseconds() / 1e6
    elif not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
        raise wrong_kind(series, "numbers", offset)
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64, copy=False)


def wrong_kind(series: pl.Series, expected: str, offset: int = 0) -> DataError:
    """The error about a column of another type than in training."""
    rows = series.is_not_null().arg_true()
    at = f", row {offset + int(rows[0]) + 1}" if len(rows) else ""
    found = f" ({series[int(rows[0])]!r})" if len(rows) else ""
    return DataError(
        f"expected {expected}, found the type {series.dtype}{found}.",
        where=f"column {series.name!r}{at}",
        do="Bring the column to the type it had in training.",
    )


def words_of(series: pl.Series) -> pl.Series:
    """A column as text for categories: the same value gives the same text whichever type its file gave it.

    Whole numbers lose the decimal point (``3.0`` and ``3`` are ``"3"``), truth values are ``"true"`` and ``"false"``.
    """
    kind = series.dtype
    if kind.is_float():
        number = series.fill_nan(None)
        whole = (number == number.round(0)).fill_null(True) & (number.abs() < 2**53).fill_null(True)
        if whole.all():
            return number.cast(pl.Int64).cast(pl.String)
        return number.cast(pl.String)
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return without(MISSING_WORDS, series.cast(pl.String))
    return series.cast(pl.String)
