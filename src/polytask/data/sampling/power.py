"""Between proportional and uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

from polytask.catalogue import Paper
from polytask.data.sampling.sampler import Floats, Sampler, power
from polytask.errors import ConfigError


@dataclass(frozen=True)
class Power(Sampler):
    """Draws by a power of the size: ``p_i = n_i^a / sum_j n_j^a``.

    :param exponent: ``a``: 1 is proportional, 0 uniform; the inverse of a *temperature*. BAM (Clark et al., ACL 2019)
        takes 0.75, XLM-R and mT5 0.3.
    """

    exponent: float = 0.3

    paper = Paper("Alexis Conneau et al.", "Unsupervised Cross-lingual Representation Learning at Scale", "ACL", 2020)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise ConfigError(f"expected an exponent of 0 or above, found {self.exponent}.", where="exponent")

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Shares of the powers of the sizes."""
        return power(sizes, self.exponent)
