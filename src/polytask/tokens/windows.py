"""Windows over texts that are longer than an encoder can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polytask.tokens.ragged import Ints, offsets_of, spans

OVERLAP = 4
"""Neighbouring windows share one part in so many."""


@dataclass(frozen=True)
class Windows:
    """R windows over the words of N texts, in the order of the texts.

    :param row: ``(R,)`` the text of each. :param start, end: ``(R,)`` first word, and the one behind the last.
    :param at_start, at_end: ``(R,)`` bool: the window begins or ends where its text does.
    :param piece_offsets: ``(M + 1,)`` first piece of every word.
    :param plain: every text has one window.
    """

    row: Ints
    start: Ints
    end: Ints
    at_start: NDArray[np.bool_]
    at_end: NDArray[np.bool_]
    piece_offsets: Ints
    plain: bool

    @property
    def first_piece(self) -> Ints:
        """``(R,)``: the first piece of each window."""
        return self.piece_offsets[self.start]

    @property
    def lengths(self) -> Ints:
        """``(R,)``: pieces of each window."""
        return self.piece_offsets[self.end] - self.piece_offsets[self.start]


def windows_of(word_counts: NDArray[Any], piece_counts: NDArray[Any], capacity: int) -> Windows:
    """Windows of at most ``capacity`` pieces (0: no limit) that begin and end between words.

    :param word_counts: ``(N,)``. :param piece_counts: ``(M,)``, none above the capacity.
    """
    words, pieces = offsets_of(word_counts), offsets_of(piece_counts)
    start, end, rows = words[:-1], words[1:], np.arange(len(word_counts))
    long = np.flatnonzero(pieces[end] - pieces[start] > capacity) if capacity else rows[:0]
    if not len(long):
        always = np.ones(len(rows), bool)
        return Windows(rows, start, end, always, always, pieces, True)
    cuts = {int(row): _cut(pieces, int(start[row]), int(end[row]), capacity) for row in long}
    counts = np.ones(len(rows), np.int64)
    counts[long] = [len(cuts[int(row)]) for row in long]
    row = np.repeat(rows, counts)
    first, last = start[row], end[row]
    for one, begin in zip(long, (np.cumsum(counts) - counts)[long], strict=True):
        spans_of_row = np.array(cuts[int(one)])
        first[begin : begin + len(spans_of_row)], last[begin : begin + len(spans_of_row)] = spans_of_row.T
    return Windows(row, first, last, first == start[row], last == end[row], pieces, False)


def _cut(pieces: Ints, start: int, end: int, capacity: int) -> list[tuple[int, int]]:
    """Windows over the words ``start`` to ``end``; each holds a word that the one before does not."""
    found, begin = [], start
    while True:
        last = int(np.searchsorted(pieces, pieces[begin] + capacity, side="right")) - 1
        last = min(last, end)
        found.append((begin, last))
        if last == end:
            return found
        overlapping = int(np.searchsorted(pieces, pieces[last] - capacity // OVERLAP))
        # The next word must fit in whole, however long it is.
        fitting = int(np.searchsorted(pieces, pieces[last + 1] - capacity))
        begin = max(overlapping, fitting, begin + 1)


def best_window(windows: Windows, piece_counts: NDArray[Any]) -> tuple[Ints, Ints]:
    """Every word, and the window in which it stands farthest from an edge: ``(M,)`` each.

    The beginning and the end of a text are no edges: nothing is hidden behind them.
    """
    held = windows.end - windows.start
    words, owner = spans(windows.start, held), np.repeat(np.arange(len(held)), held)
    if windows.plain:
        return words, owner
    far = int(windows.piece_offsets[-1])
    left = windows.piece_offsets[words] - windows.first_piece[owner]
    right = windows.piece_offsets[windows.end][owner] - windows.piece_offsets[words] - piece_counts[words]
    distance = np.minimum(np.where(windows.at_start[owner], far, left), np.where(windows.at_end[owner], far, right))
    order = np.lexsort((owner, -distance, words))
    chosen = order[np.unique(words[order], return_index=True)[1]]
    return words[chosen], owner[chosen]
