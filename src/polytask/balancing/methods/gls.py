"""The geometric loss strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class GLS(Weigher):
    """Minimises the geometric mean of the losses.

    ``total = (prod_t L_t)^{1/T} = exp(mean_t log L_t),   w_t = d total / d L_t = total / (T L_t)``

    so that ``sum_t w_t L_t`` is the geometric mean itself. Computed in logarithms: the product of many small losses
    neither vanishes nor overflows. T counts the present tasks.

    Chennupati, Sistu, Yogamani, Rawashdeh. CVPR Workshops 2019.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Chennupati, Sistu, Yogamani, Rawashdeh",
        "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for Multi-Task Learning",
        "CVPR Workshops",
        2019,
    )
    verified = "worked example; forty losses of any size"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE})
    domain = "positive"

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``exp(mean log L - log L) / T``."""
        logs = evidence.losses.log()
        return torch.exp(logs.mean() - logs - math.log(len(logs))), state
