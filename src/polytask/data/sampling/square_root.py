"""Halfway between proportional and uniform."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.catalogue import Paper
from polytask.data.sampling.sampler import Floats, Sampler, power


@dataclass(frozen=True)
class SquareRoot(Sampler):
    """Draws by the square root of the size: ``p_i = sqrt(n_i) / sum_j sqrt(n_j)``."""

    paper = Paper(
        "Asa Cooper Stickland, Iain Murray",
        "BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task Learning",
        "ICML",
        2019,
    )

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Shares of the square roots of the sizes."""
        return power(sizes, 0.5)
