"""chrF: how many character n-grams a text shares with its reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORDER, BETA = 6, 2.0


def chrf_statistics(texts: Sequence[str], references: Sequence[str]) -> Array:
    """``(n, 3 * 6)``: for n-grams of 1 to 6 characters those of the text, of the reference, and in both.

    Spaces do not count. A text's n-grams of a length that the reference does not have are left out.
    """
    rows = [_statistics("".join(a.split()), "".join(b.split())) for a, b in zip(texts, references, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 3 * ORDER)


def chrf(statistics: Array) -> Array:
    """chrF2 in per cent of summed statistics ``(m, 18)``: ``(m,)``.

    ``100 (1 + 4) P R / (4 P + R)``, with precision P and recall R averaged over the lengths of n-grams that both have.

    Popović. chrF: character n-gram F-score for automatic MT evaluation. WMT 2015.
    """
    texts, references, both = statistics[:, 0::3], statistics[:, 1::3], statistics[:, 2::3]
    used = (texts > 0) & (references > 0)
    orders = np.maximum(used.sum(1), 1)
    precision = np.divide(both, texts, out=np.zeros_like(both), where=used).sum(1) / orders
    recall = np.divide(both, references, out=np.zeros_like(both), where=used).sum(1) / orders
    bulk = BETA**2 * precision + recall
    value: Array = np.divide((1 + BETA**2) * precision * recall, bulk, out=np.zeros_like(bulk), where=bulk > 0)
    return 100 * value


def _statistics(text: str, reference: str) -> list[int]:
    found: list[int] = []
    for n in range(1, ORDER + 1):
        own = Counter(text[i : i + n] for i in range(len(text) - n + 1))
        wanted = Counter(reference[i : i + n] for i in range(len(reference) - n + 1))
        shared = sum(min(count, wanted[gram]) for gram, count in own.items() if gram in wanted)
        found += [own.total() if wanted else 0, wanted.total(), shared]
    return found
