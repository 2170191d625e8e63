"""From proportional to nearly uniform in the course of training."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.catalogue import Paper
from polytask.data.sampling.sampler import Floats, Sampler, power
from polytask.errors import ConfigError


@dataclass(frozen=True)
class Annealed(Sampler):
    """Draws by a power of the size that falls over training: ``p_i ∝ n_i^a``, ``a = 1 - drop · e / (E - 1)``.

    It begins proportional at epoch ``e = 0`` and ends near uniform (``a = 0.2``) at ``e = E - 1``, so that small
    sources have their say when training ends. A training of one epoch stays proportional.

    :param drop: how far the exponent falls, 0 to 1.
    """

    drop: float = 0.8

    paper = Paper(
        "Asa Cooper Stickland, Iain Murray",
        "BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task Learning",
        "ICML",
        2019,
    )

    def __post_init__(self) -> None:
        if not 0 <= self.drop <= 1:
            raise ConfigError(f"expected a drop from 0 to 1, found {self.drop}.", where="drop")

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Shares of the powers of the sizes at this epoch."""
        return power(sizes, 1.0 - self.drop * epoch / max(epochs - 1, 1))
