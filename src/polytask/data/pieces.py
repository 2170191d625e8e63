"""Tables in pieces, so that a table larger than memory is never held at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame
PIECE = 131_072
"""Rows encoded at once."""
SAMPLE = 1_000_000
"""Rows of a lazy table that a schema or target is fitted on."""


def names_of(frame: Frame) -> list[str]:
    """The column names of a table, without reading it."""
    return frame.columns if isinstance(frame, pl.DataFrame) else frame.collect_schema().names()


def height_of(frame: Frame) -> int:
    """The number of rows of a table."""
    return frame.height if isinstance(frame, pl.DataFrame) else int(frame.select(pl.len()).collect().item())


def pieces(frame: Frame, columns: Sequence[str], size: int = PIECE) -> Iterator[tuple[int, pl.DataFrame]]:
    """Consecutive pieces of some columns, each with the number of rows before it."""
    chosen = frame.select(columns)
    if isinstance(chosen, pl.DataFrame):
        for offset in range(0, chosen.height, size):
            yield offset, chosen[offset : offset + size]
        return
    offset = 0
    for piece in chosen.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
        if piece.height:
            yield offset, piece
        offset += piece.height


def sample(frame: Frame, limit: int = SAMPLE, *, rows: NDArray[np.int64] | None = None) -> pl.DataFrame:
    """At most ``limit`` evenly spaced rows of a table, in its order, read piece by piece.

    :param rows: ascending row numbers to choose from (the training split); default all.
    """
    count = height_of(frame) if rows is None else len(rows)
    chosen = np.arange(count) if count <= limit else np.arange(limit) * count // limit
    wanted = chosen if rows is None else np.asarray(rows)[chosen]
    if isinstance(frame, pl.DataFrame):
        return frame[wanted]
    parts = []
    for offset, piece in pieces(frame, names_of(frame)):
        first, last = np.searchsorted(wanted, (offset, offset + piece.height))
        parts.append(piece[wanted[first:last] - offset])
    return pl.concat(parts) if parts else frame.head(0).collect()
