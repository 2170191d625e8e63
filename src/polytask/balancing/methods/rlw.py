"""Random loss weighting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class RLW(Weigher):
    """Draws new weights at random in every step: the litmus test for methods that claim to choose them.

    ``w = softmax(z),   z_t ~ N(0, 1)``

    The weights sum to 1 and are 1/T on average, so steps are T times shorter than with ``equal`` under plain gradient
    descent. Drawn on the CPU: the same weights on every device and process of equal seed.

    Lin, Ye, Zhang, Tsang. TMLR 2022.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Lin, Ye, Zhang, Tsang",
        "Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning",
        "TMLR",
        2022,
    )
    verified = "worked example; its mean"
    laws = frozenset({Law.SIMPLEX, Law.POSITIVE, Law.SCALE_FREE})

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The softmax of T normal numbers."""
        z = torch.randn(len(evidence.losses), generator=rng, dtype=torch.float64)
        return torch.softmax(z, 0).to(evidence.losses), state
