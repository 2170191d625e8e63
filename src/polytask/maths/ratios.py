"""Row scores of ratios of sums: accuracy over words, precision, recall and F1 over spans.

Rows are sentences here, and a metric over what they hold is a ratio of sums, ``v = sum_i a_i / sum_i b_i``. Linearised,
``score_i = v + (a_i - v b_i) / mean b``: the influence of row i, so that the mean of the scores is v exactly (Hampel,
The influence curve and its role in robust estimation, JASA 1974).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ratio(top: Array, bottom: Array) -> Array:
    """``sum a / sum b`` as row scores ``(n,)``; NaN where ``sum b`` is 0.

    >>> ratio(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    array([0.875, 0.625])
    """
    size = bottom.mean() if len(bottom) else 0.0
    if size == 0:
        return np.full(len(top), np.nan)
    value = top.mean() / size
    scores: Array = value + (top - value * bottom) / size
    return scores


def precision(hits: Array, found: Array, wanted: Array) -> Array:
    """Share of what was found that is right; 0 where nothing was found, as conlleval has it, NaN where nothing was to.

    :param hits: right answers of each row. :param found: answers. :param wanted: what was to be found.
    """
    if wanted.any() and not found.any():
        return np.zeros(len(hits))
    return ratio(hits, found)


def recall(hits: Array, wanted: Array) -> Array:
    """Share of what was to be found that was; NaN where nothing was to be."""
    return ratio(hits, wanted)


def f1(hits: Array, found: Array, wanted: Array) -> Array:
    """``2 hits / (found + wanted)``, the harmonic mean of precision and recall; NaN where both are nothing."""
    return ratio(2 * hits, found + wanted)


def by_row(scores: Array, counts: NDArray[np.int64]) -> Array:
    """Scores of M elements as scores of the n rows that hold them, with the same mean.

    ``score_i = v + (n / M) sum_(m in row i) (s_m - v)`` with ``v = mean s``. NaN where there is no element.

    :param scores: ``(M,)``. :param counts: ``(n,)``: elements of each row, in order.
    """
    if len(scores) == 0:
        return np.full(len(counts), np.nan)
    value = scores.mean()
    owner = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(owner, weights=scores - value, minlength=len(counts))
    rows: Array = value + sums * (len(counts) / len(scores))
    return rows
