"""JSON lines: one object per line, its keys are the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from polytask.data.content import content_of
from polytask.errors import DataError


def read_jsonl(path: Path) -> pl.DataFrame:
    """One row per line; a key that a line lacks is missing there.

    :raises DataError: a line that is no JSON object, with its number, or values of several types under one key.
    """
    content = content_of(path, "one JSON object per line", "JSON lines").decode("utf-8")
    rows = [_row(line, number) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(
            f"the line is no JSON: {error}.",
            where=f"line {number}",
            do="Each line must be one complete object; a file that is one long list is JSON, not JSON lines.",
        ) from None
    if not isinstance(row, dict):
        raise DataError(
            f"expected an object with the columns as keys, found {type(row).__name__}.", where=f"line {number}"
        )
    return row


def _column(name: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        pass
    try:  # whole numbers before the first number that is none
        if all(value is None or isinstance(value, int | float) for value in values):
            return pl.Series(name, values, dtype=pl.Float64, strict=False)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        pass
    kinds = sorted({type(value).__name__ for value in values if value is not None})
    inside = " with different contents" if len(kinds) == 1 else ""
    raise DataError(
        f"expected values of one type, found {', '.join(kinds)}{inside}.",
        where=f"key {name!r}",
        do="Turn them all into numbers, all into text, or all into lists of the same.",
    )
