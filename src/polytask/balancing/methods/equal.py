"""Equal weights: the sum of the losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher


@dataclass(frozen=True)
class Equal(Weigher):
    """Gives every task the weight 1: the total is the sum of the losses.

    ``w_t = 1``

    The baseline that every other method has to beat, also known as linear scalarisation. In a :class:`Learner` the
    losses are measured in units of the best constant predictor, so equal weights mean an equal say.
    """

    needs = Need.LOSSES
    verified = "worked example; autograd of the sum"
    laws = frozenset({Law.SUM_T, Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE})

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """All ones."""
        return torch.ones_like(evidence.losses), state
