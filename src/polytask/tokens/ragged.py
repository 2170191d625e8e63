"""Lists of different lengths, one after the other in one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


def spans(starts: NDArray[Any], lengths: NDArray[Any]) -> Ints:
    """The numbers ``start, start + 1, ..., start + length - 1`` of every span, one after the other.

    >>> spans(np.array([10, 3]), np.array([2, 3])).tolist()
    [10, 11, 3, 4, 5]
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    index: Ints = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return index


def offsets_of(counts: NDArray[Any]) -> Ints:
    """Where each list begins, and at the end where the last one ends: ``(n + 1,)``.

    >>> offsets_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
