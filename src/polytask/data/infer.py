"""What kind of column a column of the training split is, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from polytask.data.cells import numbers_of, settle, words_of
from polytask.data.columns.boolean import Boolean
from polytask.data.columns.categorical import fit_categorical
from polytask.data.columns.column import Column
from polytask.data.columns.datetime import fit_datetime
from polytask.data.columns.numeric import fit_numeric
from polytask.data.options import SchemaOptions
from polytask.errors import DataError

ENOUGH = 20
"""Rows below which nothing is called an identifier or free text."""
DISTINCT = 0.95
"""Share of distinct values above which words are an identifier."""
WORDS_OF_TEXT = 4.0
"""Mean number of words above which mostly distinct cells are free text."""


@dataclass(frozen=True)
class Note:
    """What was decided about one column.

    :param kind: the kind of column, or ``"dropped"``.
    :param warning: whether the user should look at it.
    """

    column: str
    kind: str
    text: str
    warning: bool = False


def learn(series: pl.Series, options: SchemaOptions, *, keep: bool = False) -> tuple[Column | None, Note]:
    """The fitted column, or None with the reason in the note.

    :param keep: the user named this column as a feature: it is not dropped for looking like an identifier.
    :raises DataError: free text, nested values, or words among numbers.
    """
    name = series.name
    if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary):
        raise DataError(
            f"a column of type {series.dtype} cannot be a feature.",
            where=f"column {name!r}",
            do=f"Leave it out with exclude=[{name!r}], or turn it into plain columns first. Lists of words are read by "
            "encoders of texts: encoder: words, or hf:FOLDER.",
        )
    if name in options.categorical:
        return _category(series, options)
    if series.dtype == pl.String:
        series = settle(series)
    if series.null_count() == len(series):
        return None, Note(name, "dropped", "every value is missing", warning=True)
    kind = series.dtype
    if not keep and (reason := _identifier(series)):
        return None, Note(name, "dropped", reason, warning=True)
    if kind == pl.Boolean:
        return _boolean(series)
    if kind.is_numeric() or kind == pl.Duration:
        return _noted(name, fit_numeric(name, numbers_of(series), options))
    if kind in (pl.Date, pl.Datetime, pl.Time):
        return _noted(name, fit_datetime(name, series, options.clip))
    _refuse_text(series)
    return _category(series, options)


def _boolean(series: pl.Series) -> tuple[Column | None, Note]:
    constant = series.drop_nulls().n_unique() < 2 and series.null_count() == 0
    return _noted(series.name, None if constant else Boolean(series.name, flag=series.null_count() > 0))


def _category(series: pl.Series, options: SchemaOptions) -> tuple[Column | None, Note]:
    name = series.name
    column = fit_categorical(name, series, options)
    if column is None:
        few = series.drop_nulls().n_unique() > 1
        reason = f"no level occurs {options.min_count} times" if few else "constant in training"
        return None, Note(name, "dropped", reason, warning=True)
    return column, Note(name, "categorical", column.describe(), warning=len(column.levels) == options.max_levels)


def _noted(name: str, column: Column | None) -> tuple[Column | None, Note]:
    if column is None:
        return None, Note(name, "dropped", "constant in training", warning=True)
    return column, Note(name, type(column).__name__.lower(), column.describe())


def _identifier(series: pl.Series) -> str:
    """Why a column looks like the number or name of a row, or ``""``.

    Words: nearly all distinct, and no free text. Integers: all present and distinct, and either ascending or
    descending in the order of the table or so dense that they number the rows. A schema that learned them would know
    the training rows by name and nothing of any other row.
    """
    count = len(series)
    present = series.drop_nulls()
    if len(present) < ENOUGH:
        return ""
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        distinct = words_of(present).n_unique() >= DISTINCT * len(present)
        return "nearly all values are distinct: an identifier" if distinct and not _is_text(present) else ""
    if not series.dtype.is_integer() or len(present) < count or series.n_unique() < count:
        return ""
    numbers = series.cast(pl.Float64).to_numpy()
    steps = np.diff(numbers)
    ordered = bool((steps > 0).all() or (steps < 0).all())
    dense = count >= 5 * ENOUGH and float(np.ptp(numbers)) < 4 * count
    return "whole numbers that number the rows: an identifier" if ordered or dense else ""


def _is_text(present: pl.Series) -> bool:
    words = present.cast(pl.String).str.count_matches(r"\S+").mean()
    return isinstance(words, float) and words >= WORDS_OF_TEXT and present.n_unique() > 0.5 * len(present)


def _refuse_text(series: pl.Series) -> None:
    present = series.drop_nulls()
    if len(present) >= ENOUGH and _is_text(present):
        example = str(present[0])[:60]
        raise DataError(
            f"this column is free text ({example!r}...), which a table schema cannot use.",
            where=f"column {series.name!r}",
            do=f"Leave it out with exclude=[{series.name!r}], or turn it into numbers first (length, keywords, "
            "the embedding of a language model).",
        )
