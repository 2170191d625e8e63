"""Dynamic task prioritisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError

LOWEST = 1e-3
"""Performance counts as at least this, so that a task that is not solved at all has a finite weight."""


@dataclass(frozen=True)
class DTP(Weigher):
    """Puts difficult tasks first: a focal loss over tasks.

    ``w_t = -(1 - k_t)^gamma log k_t,   k_t <- alpha kpi_t + (1 - alpha) k_t``

    kpi is the performance of a task in (0, 1], higher is better (an accuracy); a solved task has the weight 0. It is
    taken from ``Evidence.kpi`` where given. Elsewhere it is ``exp(-L)``: for a cross-entropy the geometric mean of the
    probability of the true class, for other losses a number that falls from 1 as the loss grows, so that the weight is
    about ``(1 - exp(-L))^gamma L``. It compares tasks only if their losses are in comparable units (in a Learner they
    are). k starts at the first kpi and is at least 0.001.

    A Learner gives ``exp(-E)`` after each epoch, E being the error by the task's main metric on training rows over that
    of the best constant predictor. In the first epoch it is the loss in the same unit.

    :param gamma: how strongly tasks that are nearly solved are left alone; 0 or more.
    :param alpha: how far k moves towards the new kpi, above 0 and up to 1.

    Guo, Haque, Huang, Yeung, Fei-Fei. ECCV 2018.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Guo, Haque, Huang, Yeung, Fei-Fei", "Dynamic Task Prioritization for Multitask Learning", "ECCV", 2018
    )
    verified = "worked example"
    laws = frozenset({Law.EQUIVARIANT})
    domain = "non-negative"
    reads_kpi = True

    gamma: float = 1.0
    alpha: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf:
            raise ConfigError(f"expected a number of 0 or more, found {self.gamma}.", where="gamma")
        if not 0 < self.alpha <= 1:
            raise ConfigError(f"expected a number above 0 and up to 1, found {self.alpha}.", where="alpha")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """k (NaN: not yet known)."""
        return {"k": torch.full((len(tasks),), math.nan, dtype=like.dtype, device=like.device)}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``-(1 - k)^gamma log k``."""
        kpi = (-evidence.losses).exp()
        if evidence.kpi is not None:
            kpi = torch.where(evidence.kpi.isnan(), kpi, evidence.kpi.to(kpi))
        kpi = kpi.clamp(LOWEST, 1.0)
        k = torch.where(state["k"].isnan(), kpi, torch.lerp(state["k"], kpi, self.alpha))
        return (1 - k) ** self.gamma * k.log().neg(), {"k": k}
