"""Dividing a table into the rows that train, that choose the checkpoint, and that judge."""

from __future__ import annotations

import numpy as np
import polars as pl

from polytask.data.pieces import Frame, height_of, names_of
from polytask.data.splits.split import PARTS, Rows, Split, known_column
from polytask.errors import DataError, plural


def split(frame: Frame, how: Split, seed: int) -> dict[str, Rows]:
    """Ascending row numbers of ``"train"``, ``"validation"`` and ``"test"``; together every row once.

    :param frame: the table; of a lazy one only the columns that the split looks at are read.
    :param seed: the same seed gives the same parts.
    :raises DataError: an unknown column, or a part that would be empty although it has a share.

    >>> from polytask.data.splits.random import Random
    >>> {part: len(rows) for part, rows in split(pl.DataFrame({"a": range(20)}), Random(), seed=0).items()}
    {'train': 13, 'validation': 3, 'test': 4}
    """
    names = names_of(frame)
    for column in how.reads:
        known_column(names, column)
    rows = height_of(frame)
    read = frame.select(how.reads)
    columns = read.collect() if isinstance(read, pl.LazyFrame) else read
    divided = how.divide(columns, rows, np.random.default_rng(seed)) if rows else [np.empty(0, np.int64)] * 3
    parts = {part: np.sort(chosen).astype(np.int64) for part, chosen in zip(PARTS, divided, strict=True)}
    for part, share in zip(PARTS, how.shares, strict=True):
        if share > 0 and len(parts[part]) == 0:
            raise DataError(
                f"the {part} part would be empty: {plural(rows, 'row')}, of which it should get {share:.0%}.",
                where="split",
                do="Give more rows, or other shares.",
            )
    return parts
