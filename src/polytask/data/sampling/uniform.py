"""Every source equally often."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.data.sampling.sampler import Floats, Sampler, power


@dataclass(frozen=True)
class Uniform(Sampler):
    """Draws every source equally often: ``p_i = 1 / S``.

    Small sources are repeated often and may be overfitted.
    """

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Equal shares."""
        return power(sizes, 0.0)
