"""CoNLL columns: one word per line with its labels, as corpora of entities come (CoNLL-2003, WNUT, IOB2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from polytask.data.corpora.lines import Lines, lines_of, parted, sentences_of
from polytask.errors import DataError

DOCSTART = "-DOCSTART-"


def read_conll(path: Path, *, separator: str | None = None, words: int | None = None) -> pl.DataFrame:
    """One row per sentence: lists ``words`` and ``"0"``, ``"1"``, ..., a column of lists for each column of the file;
    ``sent_id``, ``text`` and ``doc`` where comments say them.

    Lines that begin with ``#`` and have not as many columns as the others are comments; ``-DOCSTART-`` lines are left
    out. A first column that counts the words of each sentence is seen to be one.

    :param separator: between columns; default: a tab if most lines have one, else any blanks.
    :param words: the column that holds the words, from 0; negative: from the end. Default: the first, or the second if
        the first counts.
    :raises DataError: lines with more or fewer columns than the others, with their number.
    """
    lines, cells = _cells(path, separator)
    width = _width(lines, cells)
    table = pl.DataFrame({str(i): cells.list.get(i) for i in range(width)})
    counted = width > 1 and bool(table["0"].str.contains(r"^\d+([-.]\d+)?$").all())
    if counted:
        own = table["0"].str.contains(r"^\d+$")
        table, lines = table.filter(own), lines.only(own)
    sentences = sentences_of(lines)
    if counted:  # numbers that do not count are words: prices, years
        numbers = table["0"].cast(pl.Float64).to_numpy()
        places = np.arange(len(numbers)) - np.repeat(sentences.begin, sentences.counts) + 1
        counted = bool((numbers == places).all())
    at = (1 if counted else 0) if words is None else words + width * (words < 0)
    if not 0 <= at < width:
        raise DataError(f"there is no column {words}; lines have {width} columns, from 0 on.", where="words")
    columns = {"words": sentences.lists(table[str(at)])} | {
        name: sentences.lists(table[name]) for name in table.columns
    }
    return pl.DataFrame(columns).with_columns(**sentences.notes())


def _cells(path: Path, separator: str | None) -> tuple[Lines, pl.Series]:
    """The lines that hold words, and their cells."""
    text = lines_of(path, "CoNLL")[0]
    text = text.filter(~text.str.starts_with("#"))
    tabs = separator is None and 2 * int(text.str.contains("\t", literal=True).sum()) >= len(text) > 0
    mark = "\t" if tabs else separator

    def cut(lines: pl.Expr) -> pl.Expr:
        return lines.str.extract_all(r"\S+") if mark is None else lines.str.split(mark)

    usual = pl.DataFrame({"line": text}).select(cut(pl.col("line")).list.len().mode().max()).item() if len(text) else 0
    comment = pl.col("line").str.starts_with("#") & (cut(pl.col("line")).list.len() != usual)
    lines = parted(path, "CoNLL", comment | pl.col("line").str.starts_with(DOCSTART))
    return lines, lines.text.to_frame("line").select(cut(pl.col("line")))["line"]


def _width(lines: Lines, cells: pl.Series) -> int:
    """Columns of the file."""
    found = cells.list.len().to_numpy()
    width = int(np.bincount(found).argmax())
    wrong: Sequence[int] = np.flatnonzero(found != width).tolist()
    if wrong:
        row = wrong[0]
        raise DataError(
            f"expected {width} columns as in most lines, found {found[row]}: {lines.text[row][:60]!r}.",
            where=lines.where(row),
            do="Tabs and blanks may be mixed; name the separator (separator: '\\t'), or correct the line.",
        )
    return width
