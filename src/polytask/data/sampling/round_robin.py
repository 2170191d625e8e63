"""One source after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from polytask.data.sampling.sampler import Floats, Ints, Sampler, power


@dataclass(frozen=True)
class RoundRobin(Sampler):
    """Takes the sources in turn: source ``k mod S`` at slot ``k`` of every epoch."""

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Equal shares."""
        return power(sizes, 0.0)

    def quota(self, sizes: Floats, slots: int, epoch: int, epochs: int, rng: Generator) -> Ints:
        """Equal numbers; the first sources get one more where they do not divide."""
        return slots // len(sizes) + (np.arange(len(sizes)) < slots % len(sizes)).astype(np.int64)

    def order(self, quota: Ints, rng: Generator) -> Ints:
        """0, 1, ..., S - 1, 0, 1, ...; a source whose slots are used up is passed over."""
        owner = np.repeat(np.arange(len(quota)), quota)
        turn = np.arange(len(owner)) - np.repeat(np.cumsum(quota) - quota, quota)
        return owner[np.lexsort((owner, turn))]
