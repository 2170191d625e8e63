"""Files of one word per line, with blank lines between sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from polytask.data.content import content_of
from polytask.data.text.words import nested
from polytask.errors import DataError
from polytask.tokens.ragged import Ints

SENTENCE_ID, TEXT, DOCUMENT = "sent_id", "text", "newdoc id"
COMMENT = rf"^#\s*({SENTENCE_ID}|{TEXT}|{DOCUMENT})\s*=\s*(.*?)\s*$"


@dataclass(frozen=True)
class Lines:
    """The lines that hold words.

    :param text: ``(M,)`` the lines. :param number: ``(M,)`` their numbers, from 1. :param block: ``(M,)`` blank lines
        before each; lines of one sentence have the same number.
    :param comments: the lines that hold none, with the same three columns.
    """

    text: pl.Series
    number: Ints
    block: Ints
    comments: pl.DataFrame

    def where(self, row: int) -> str:
        """The place of a line, for messages."""
        return f"line {self.number[row]}"

    def only(self, kept: pl.Series) -> Lines:
        """Some of the lines."""
        chosen = kept.to_numpy()
        return Lines(self.text.filter(kept), self.number[chosen], self.block[chosen], self.comments)


def lines_of(path: Path, kind: str) -> tuple[pl.Series, Ints, Ints]:
    """The lines of a file that are not blank, their numbers, and the blank lines before each.

    :raises DataError: empty, or not UTF-8.
    """
    content = content_of(path, "one word per line, and a blank line after each sentence", kind)
    lines = pl.Series("line", content.decode("utf-8").split("\n"), dtype=pl.String).str.strip_suffix("\r")
    blank = (lines.str.strip_chars() == "").to_numpy()
    numbers = np.flatnonzero(~blank)
    return lines.filter(pl.Series(~blank)), numbers + 1, np.cumsum(blank)[numbers]


def parted(path: Path, kind: str, comment: pl.Expr) -> Lines:
    """The lines of a file, comments apart.

    :param comment: which lines are comments, of the column ``line``.
    :raises DataError: as :func:`lines_of`, or no line holds a word.
    """
    text, number, block = lines_of(path, kind)
    table = pl.DataFrame({"line": text, "number": number, "block": block})
    aside = table.select(comment.alias("aside"))["aside"]
    words = table.filter(~aside)
    if words.is_empty():
        raise DataError("the file has comments and no words.", do="Expected one word per line.")
    return Lines(words["line"], words["number"].to_numpy(), words["block"].to_numpy(), table.filter(aside))


@dataclass(frozen=True)
class Sentences:
    """The sentences that lines make.

    :param begin: ``(n,)`` first line of each. :param counts: ``(n,)`` lines of each.
    """

    lines: Lines
    begin: Ints
    counts: Ints

    @property
    def owner(self) -> Ints:
        """``(M,)`` the sentence of each line."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def lists(self, flat: pl.Series) -> pl.Series:
        """A value of each line as lists, one per sentence."""
        return nested(flat, self.counts)

    def notes(self) -> dict[str, pl.Series]:
        """What comments say of the sentences: ``sent_id``, ``text``, and ``doc``, which holds until the next one."""
        comments, blocks = self.lines.comments, self.lines.block[self.begin]
        if comments.is_empty():
            return {}
        found = comments.select(
            pl.col("line").str.extract(COMMENT, 1).alias("key"), pl.col("line").str.extract(COMMENT, 2).alias("said"),
            pl.col("block"),
        ).drop_nulls("key")  # fmt: skip
        notes = {}
        for key in (SENTENCE_ID, TEXT, DOCUMENT):
            own = found.filter(pl.col("key") == key).unique("block", keep="first", maintain_order=True)
            if own.height:
                told = pl.DataFrame({"block": blocks}).join(own, on="block", how="left", maintain_order="left")["said"]
                notes[key] = told.forward_fill() if key == DOCUMENT else told
        return {"doc" if key == DOCUMENT else key: series.alias(key) for key, series in notes.items()}


def sentences_of(lines: Lines) -> Sentences:
    """The sentences: lines without a blank line between them."""
    begin = np.flatnonzero(np.diff(lines.block, prepend=-1))
    return Sentences(lines, begin, np.diff(begin, append=len(lines.block)))
