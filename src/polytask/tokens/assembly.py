"""From coded texts to what an encoder reads: special tokens, windows, padding, and where every word is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.batch import Inputs, Words
from polytask.tokens.encoded import Encoded
from polytask.tokens.ragged import Codes, Ints, offsets_of, spans
from polytask.tokens.windows import Windows, best_window, windows_of


@dataclass(frozen=True)
class Marks:
    """The codes that stand for no word. One code is ``()`` or ``(1 + C,)``, several have a leading dimension.

    :param before, between, after: the tokens around a text, and between the texts of a pair: ``before A after``,
        ``before A between B after``.
    :param pad: behind the last token of a window. :param unknown: a piece that is in no vocabulary.
    :param mask: a piece that is hidden.
    """

    before: Codes
    between: Codes
    after: Codes
    pad: Codes
    unknown: Codes
    mask: Codes

    @property
    def width(self) -> int:
        """Special tokens of a window."""
        return len(self.before) + len(self.after)


def assembled(encoded: Encoded, marks: Marks, window: int) -> Inputs:
    """The rows of a batch as windows of at most ``window`` tokens (0: no limit).

    Windows of a long text begin and end between words, and overlap by a quarter; each word is read in the window where
    it stands farthest from an edge. The texts of a pair are one text with the separator between them.
    """
    texts, real = _with_marks(encoded, marks)
    windows = windows_of(texts.word_counts, texts.piece_counts, window - marks.width if window else 0)
    codes, mask = _filled(texts, windows, marks)
    return Inputs(
        torch.zeros(len(encoded), 0),
        torch.zeros(len(encoded), 0, dtype=torch.int64),
        torch.from_numpy(codes),
        torch.from_numpy(mask),
        _words(texts, real, windows, len(marks.before), codes.shape[1]),
    )


def _with_marks(encoded: Encoded, marks: Marks) -> tuple[Encoded, NDArray[np.bool_] | None]:
    """Separators of pairs, and something in windows without any token, as words that are none.

    :returns: the texts with them, and which words are real; None: all are.
    """
    starts = offsets_of(encoded.word_counts)[:-1]
    if encoded.leads is not None and len(marks.between):
        at, added, rows = starts + encoded.leads, marks.between, np.arange(len(encoded))
    elif marks.width == 0 and (encoded.word_counts == 0).any():
        rows = np.flatnonzero(encoded.word_counts == 0)
        at, added = starts[rows], marks.unknown[None]
    else:
        return encoded, None
    pieces = np.repeat(offsets_of(encoded.piece_counts)[at], len(added))
    words = encoded.word_counts.copy()
    words[rows] += 1
    return Encoded(
        np.insert(encoded.codes, pieces, np.concatenate([added] * len(rows)), axis=0),
        np.insert(encoded.piece_counts, at, len(added)),
        words,
    ), np.insert(np.ones(len(encoded.piece_counts), bool), at, False)


def _filled(texts: Encoded, windows: Windows, marks: Marks) -> tuple[Ints, NDArray[np.bool_]]:
    """Token codes ``(R, L)`` or ``(R, L, 1 + C)``, and where tokens are real."""
    head, tail = len(marks.before), len(marks.after)
    lengths = windows.lengths + marks.width
    longest = int(lengths.max()) if len(lengths) else 0
    codes = np.empty((len(lengths), longest, *texts.codes.shape[1:]), np.int64)
    codes[:] = marks.pad
    codes[:, :head] = marks.before
    flat = codes.reshape(-1, *texts.codes.shape[1:])
    begins = np.arange(len(lengths)) * longest
    flat[spans(begins + head, windows.lengths)] = (
        texts.codes if windows.plain else texts.codes[spans(windows.first_piece, windows.lengths)]
    )
    if tail:
        flat[spans(begins + lengths - tail, np.full(len(lengths), tail))] = np.concatenate([marks.after] * len(lengths))
    return codes, np.arange(longest) < lengths[:, None]


def _words(texts: Encoded, real: NDArray[np.bool_] | None, windows: Windows, head: int, longest: int) -> Words:
    words, owner = best_window(windows, texts.piece_counts)
    first = owner * longest + head + windows.piece_offsets[words] - windows.first_piece[owner]
    sizes, counts = texts.piece_counts, texts.word_counts.astype(np.int64)
    if real is not None:
        first, sizes = first[real], sizes[real]
        row = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(row[real], minlength=len(counts))
    parts = (
        first,
        spans(first, sizes),
        np.repeat(np.arange(len(sizes)), sizes),
        counts,
        windows.row,
    )
    return Words(*(torch.from_numpy(part) for part in parts))
