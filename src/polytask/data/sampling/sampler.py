"""The contract of a sampler: which source each step (or each row) of an epoch is drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from polytask.catalogue import Paper

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sampler(ABC):
    """Shares of S sources in an epoch.

    An epoch hands out *slots*: its steps, each a batch of one source, or its rows when batches are mixed. Over an epoch
    source ``i`` gets ``floor(p_i n)`` or ``ceil(p_i n)`` of ``n`` slots, with expectation exactly ``p_i n`` (systematic
    sampling), in random order. Every slot is thus drawn with probability ``p_i``, as by independent draws, without
    their noise: proportional sampling visits every row exactly once an epoch.

    :param mixed: False: every batch comes from one source; True: the rows of one batch are drawn across sources.
    """

    mixed: bool = field(default=False, kw_only=True)

    paper: ClassVar[Paper | None] = None

    @abstractmethod
    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """``p``, ``(S,)``: positive, sums to 1.

        :param sizes: ``(S,)`` rows of each source, above 0.
        :param epoch: 0 to ``epochs - 1``.
        """

    def quota(self, sizes: Floats, slots: int, epoch: int, epochs: int, rng: Generator) -> Ints:
        """Slots of each source in this epoch, ``(S,)``, summing to ``slots``."""
        return systematic(self.probabilities(sizes, epoch, epochs) * slots, rng)

    def order(self, quota: Ints, rng: Generator) -> Ints:
        """The source of every slot of the epoch, ``(slots,)``."""
        return rng.permutation(np.repeat(np.arange(len(quota)), quota))


def systematic(expected: Floats, rng: Generator) -> Ints:
    """Whole numbers with these expectations and the same sum, each its floor or ceiling.

    One uniform number ``u`` in [0, 1) picks the sources in whose stretch of the cumulated fractions the points
    ``u, u + 1, ...`` fall (Madow, 1949).
    """
    slots = round(float(expected.sum()))
    whole = np.floor(expected + 1e-9)
    rest = slots - int(whole.sum())
    if rest:
        fractions = np.clip(expected - whole, 0.0, None)
        ends = np.cumsum(fractions) * (rest / fractions.sum())
        hit = np.searchsorted(ends, np.arange(rest) + rng.random(), side="right")
        np.add.at(whole, np.minimum(hit, len(whole) - 1), 1)
    return whole.astype(np.int64)


def power(sizes: Floats, exponent: float) -> Floats:
    """``n_i^a / sum_j n_j^a``."""
    weights = (sizes / sizes.max()) ** exponent
    return np.asarray(weights / weights.sum())
