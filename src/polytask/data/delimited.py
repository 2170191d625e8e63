"""CSV and its relatives: separator, header, encoding and shape are checked before anything is believed."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path

import polars as pl

from polytask.data.cells import MISSING_WORDS, settle, without
from polytask.data.content import check_encoding, content_of
from polytask.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
HEAD = 1 << 16
"""Bytes in which separator and header are looked for."""


def read_delimited(path: Path, *, text: Collection[str] = ()) -> pl.DataFrame:
    """A CSV, TSV or similar file, possibly gzipped; every column typed by all of its cells.

    :param text: columns that stay text.
    :raises DataError: empty, not UTF-8, duplicate names, ragged, or words among numbers.
    """
    content = content_of(path, "a header line with the column names, and rows below it")
    separator = _separator(content[:HEAD], path.name)
    names = _header(content, separator)
    frame = _cells(content, separator, names)
    return pl.DataFrame(
        [
            without(MISSING_WORDS, column) if column.name in text else settle(column, decimal_comma=separator == ";")
            for column in frame
        ]
    )


def separator_of(path: Path) -> str:
    """The separator of a file, judged by its first lines.

    :raises DataError: not UTF-8, or duplicate names in the header.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    whole_lines = head[: head.rfind(b"\n") + 1] or head
    check_encoding(whole_lines)
    separator = _separator(whole_lines, path.name)
    _header(whole_lines, separator)
    return separator


def _separator(head: bytes, filename: str) -> str:
    """The candidate that cuts the first lines into most fields, equally many in each."""
    if filename.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    lines = [line for line in head.decode("utf-8", "ignore").splitlines() if line.strip()][:20]
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()  # possibly cut off

    def score(separator: str) -> tuple[bool, int]:
        counts = [len(row) for row in _rows(lines, separator)]
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    return max(SEPARATORS, key=score)


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:  # a field beyond the limit of the csv module: no sensible header
        return []


def _header(content: bytes, separator: str) -> list[str]:
    rows = csv.reader(io.StringIO(content[:HEAD].decode("utf-8", "ignore")), delimiter=separator)
    try:
        raw = next((row for row in rows if row), [])
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}.", where="line 1") from None
    names = [name.strip() or f"column_{position}" for position, name in enumerate(raw, 1)]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DataError(
                f"two columns are called {name!r}: columns {names.index(name) + 1} and {position + 1}.",
                where="line 1",
                do="The first line looks like data: put a line of column names above it."
                if _is_number(name)
                else "Rename one of them.",
            )
    return names


def _is_number(name: str) -> bool:
    return name.lstrip("-").replace(".", "", 1).isdecimal()


def _cells(content: bytes, separator: str, names: list[str]) -> pl.DataFrame:
    """All cells as text, under the names of the header."""
    try:
        frame = pl.read_csv(io.BytesIO(content), separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _refuse_ragged(content, separator, len(names))
        reason = str(error).strip().split("\n")[0][:200]
        raise DataError(
            f"the file cannot be read as a table: {reason}.", do="Look for an opening quote that is never closed."
        ) from None
    if frame.width != len(names):
        _refuse_ragged(content, separator, len(names))
        raise DataError(
            f"the header has {len(names)} names, the rows have {frame.width} cells.",
            where="line 1",
            do="Look for quotes that are not closed, or lines that break inside a cell.",
        )
    frame.columns = names
    if frame.height and len(names) > 1 and frame.to_series(-1).null_count():
        _refuse_ragged(content, separator, len(names))  # short rows end in null, as empty cells do
    return frame


def _refuse_ragged(content: bytes, separator: str, width: int) -> None:
    """Raises if a row has more or fewer cells than the header."""
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), delimiter=separator)
    try:
        for row in rows:
            if row and len(row) != width:
                raise DataError(
                    f"expected {width} cells as in the header, found {len(row)}.",
                    where=f"line {rows.line_num}",
                    do=f"Check the separators ({separator!r}) of this line; a cell that contains one must be quoted.",
                )
    except csv.Error as error:
        raise DataError(f"the line cannot be read: {error}.", where=f"line {rows.line_num}") from None
