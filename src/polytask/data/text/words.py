"""The words of each row of a table, whether it keeps words or raw text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from polytask.errors import DataError
from polytask.tokens.ragged import Ints, offsets_of, spans
from polytask.tokens.splitting import split_texts


@dataclass(frozen=True)
class Wordlists:
    """The words of n rows, one after the other.

    :param flat: ``(M,)`` text, without nulls. :param counts: ``(n,)`` words of each row.
    :param leads: ``(n,)`` words of the first text of a pair; None where rows are single texts.
    """

    flat: pl.Series
    counts: Ints
    leads: Ints | None = None

    def lists(self, name: str = "words") -> pl.Series:
        """The words as a column of lists."""
        return nested(self.flat, self.counts).alias(name)


def wordlists(piece: pl.DataFrame, columns: Sequence[str], offset: int = 0) -> Wordlists:
    """The words of each row.

    :param columns: one column of texts, or the two of a pair.
    :param offset: rows before this piece of the table, for messages.
    :raises DataError: a column that holds no text.
    """
    parts = [flattened(_as_lists(piece[column], offset)) for column in columns]
    parts = [(flat.fill_null(""), counts) for flat, counts in parts]
    if len(parts) == 1:
        return Wordlists(*parts[0])
    (first, first_counts), (second, second_counts) = parts
    counts = first_counts + second_counts
    before = offsets_of(counts)[:-1]
    order = np.empty(int(counts.sum()), np.int64)
    order[spans(before, first_counts)] = np.arange(len(first))
    order[spans(before + first_counts, second_counts)] = np.arange(len(first), len(first) + len(second))
    return Wordlists(pl.concat([first.alias("words"), second.alias("words")]).gather(order), counts, first_counts)


def nested(flat: pl.Series, counts: Ints) -> pl.Series:
    """Values as a column of lists, so many for each row; the inverse of :func:`flattened`."""
    values = flat.rechunk().to_arrow()
    return pl.Series(flat.name, pl.from_arrow(pa.LargeListArray.from_arrays(offsets_of(counts), values)))


def flattened(lists: pl.Series) -> tuple[pl.Series, Ints]:
    """All values of a column of lists, and how many each row has (a missing list none)."""
    counts = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    return lists.filter(pl.Series(counts > 0)).explode(), counts


def list_lengths(lists: pl.Series) -> NDArray[np.int64]:
    """How many values each list has; -1 where it is missing."""
    return lists.list.len().cast(pl.Int64).fill_null(-1).to_numpy()


def _as_lists(column: pl.Series, offset: int) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Array):
        column, kind = column.arr.to_list(), pl.List(kind.inner)
    if isinstance(kind, pl.List) and kind.inner in (pl.String, pl.Null, pl.Categorical):
        return column.cast(pl.List(pl.String))
    if kind in (pl.String, pl.Null, pl.Categorical, pl.Enum):
        return split_texts(column)
    present = column.is_not_null().arg_true()
    at = f", row {offset + int(present[0]) + 1}" if len(present) else ""
    raise DataError(
        f"expected text or lists of words, found the type {kind}.",
        where=f"column {column.name!r}{at}",
        do="Name the column that holds the text, or turn it into text first.",
    )
