"""The tokens of all rows of a table, in memory or memory-mapped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polytask.data.text.spill import Spill, mapped
from polytask.tokens.encoded import Encoded
from polytask.tokens.ragged import Codes, Ints, offsets_of, spans
from polytask.tokens.vocabulary import Vocabulary
from polytask.tokens.windows import OVERLAP


@dataclass(frozen=True)
class TokenStore:
    """Coded texts of N rows, without special tokens.

    :param vocabulary: what coded them.
    :param codes: ``(P,)`` or ``(P, 1 + C)`` codes of all pieces.
    :param piece_counts: ``(M,)`` pieces of each word. :param word_counts: ``(N,)`` words of each row.
    :param row_pieces: ``(N,)`` pieces of each row. :param leads: ``(N,)`` words of the first text of a pair, or None.
    """

    vocabulary: Vocabulary
    codes: Codes
    piece_counts: NDArray[np.int32]
    word_counts: NDArray[np.int32]
    row_pieces: NDArray[np.int32]
    leads: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.word_counts)

    @cached_property
    def word_offsets(self) -> Ints:
        """``(N + 1,)``: the first word of every row."""
        return offsets_of(self.word_counts)

    @cached_property
    def piece_offsets(self) -> Ints:
        """``(N + 1,)``: the first piece of every row."""
        return offsets_of(self.row_pieces)

    @cached_property
    def windows(self) -> Ints:
        """``(N,)``: windows of each row, about: a long word may make one more."""
        capacity = self.vocabulary.capacity
        if not capacity:
            return np.ones(len(self), np.int64)
        beyond = np.maximum(self.row_pieces.astype(np.int64) - capacity, 0)
        return 1 + -(-beyond // (capacity - capacity // OVERLAP))

    @cached_property
    def longest(self) -> Ints:
        """``(N,)``: tokens of the longest window of each row, special ones included; at least 1."""
        pieces, capacity = self.row_pieces.astype(np.int64), self.vocabulary.capacity
        within = np.minimum(pieces, capacity) if capacity else pieces
        return np.maximum(within + self.vocabulary.marks.width, 1)

    def words_of(self, rows: Ints) -> Ints:
        """Numbers of the words of some rows."""
        return spans(self.word_offsets[rows], self.word_counts[rows].astype(np.int64))

    def rows(self, rows: Ints) -> Encoded:
        """Some rows, in the given order."""
        pieces = spans(self.piece_offsets[rows], self.row_pieces[rows].astype(np.int64))
        return Encoded(
            self.codes[pieces],
            self.piece_counts[self.words_of(rows)],
            self.word_counts[rows],
            None if self.leads is None else self.leads[rows],
        )


class TokenWriter:
    """Gathers coded texts piece by piece, in memory or in a folder.

    :param folder: where the arrays go; None: in memory.
    """

    PARTS = ("codes", "piece_counts", "word_counts", "row_pieces", "leads")

    def __init__(self, vocabulary: Vocabulary, folder: Path | None) -> None:
        self._vocabulary = vocabulary
        width = vocabulary.marks.pad.shape
        self._parts = {part: Spill(folder, part, np.int32, width if part == "codes" else ()) for part in self.PARTS}
        self._pairs = False

    def add(self, encoded: Encoded) -> None:
        """The next rows."""
        ends = offsets_of(encoded.piece_counts)[offsets_of(encoded.word_counts)]
        self._parts["codes"].add(encoded.codes)
        self._parts["piece_counts"].add(encoded.piece_counts)
        self._parts["word_counts"].add(encoded.word_counts)
        self._parts["row_pieces"].add(np.diff(ends))
        if encoded.leads is not None:
            self._pairs = True
            self._parts["leads"].add(encoded.leads)

    def finish(self) -> TokenStore:
        """The store of all rows."""
        arrays: dict[str, NDArray[Any]] = {part: spill.finish() for part, spill in self._parts.items()}
        leads = arrays.pop("leads")
        return TokenStore(self._vocabulary, **arrays, leads=leads if self._pairs else None)

    @classmethod
    def open(cls, vocabulary: Vocabulary, folder: Path, rows: int, words: int) -> TokenStore:
        """The store that :meth:`finish` left in a folder.

        :raises ValueError: it is not complete.
        """
        width = vocabulary.marks.pad.shape
        sizes = mapped(folder, "row_pieces", np.int32, (), rows)
        leads = mapped(folder, "leads", np.int32, (), None)
        return TokenStore(
            vocabulary,
            mapped(folder, "codes", np.int32, width, int(sizes.sum(dtype=np.int64))),
            mapped(folder, "piece_counts", np.int32, (), words),
            mapped(folder, "word_counts", np.int32, (), rows),
            sizes,
            leads if len(leads) else None,
        )
