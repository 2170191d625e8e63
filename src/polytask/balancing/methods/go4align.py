"""Group optimisation for multi-task alignment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.line_clusters import cluster_means


@dataclass(frozen=True)
class GO4Align(Weigher):
    """Gives tasks that are equally far along one common weight.

    ``w_t = mean over the group of t of I,   I_t = p_t sum_s L_s / L_t,   p <- p exp(-eta L) / Z``

    Groups are the best partition of the numbers I on the line (exact one-dimensional k-means; the authors' code draws
    random starts). p starts at 1/T; tasks that are absent from a batch keep their p, and those present share theirs.

    :param groups: the number of groups; with fewer tasks than that, every task is its own.
    :param eta: step size of p, in units of one over a loss.

    Shen, Wang, Xiao, Van Noord, Worring. NeurIPS 2024.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Shen, Wang, Xiao, Van Noord, Worring",
        "GO4Align: Group Optimization for Multi-Task Alignment",
        "NeurIPS",
        2024,
    )
    verified = "worked example; all partitions tried"
    laws = frozenset({Law.EQUIVARIANT})
    domain = "positive"

    groups: int = 2
    eta: float = 1e-4

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ConfigError(f"expected 1 group or more, found {self.groups}.", where="groups")
        if not 0 <= self.eta < math.inf:
            raise ConfigError(f"expected a number of 0 or more, found {self.eta}.", where="eta")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """log p, up to a constant that all tasks share."""
        return {"log_p": torch.zeros(len(tasks), dtype=like.dtype, device=like.device)}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One step of p, then the means of the groups."""
        losses = evidence.losses.double().clamp_min(torch.finfo(evidence.losses.dtype).tiny)
        before = state["log_p"].double()
        log_p = torch.log_softmax(before - self.eta * losses, 0)
        indicator = log_p.exp() * losses.sum() / losses
        after = log_p + before.logsumexp(0)  # what the present tasks hold together stays the same
        return cluster_means(indicator, self.groups).to(evidence.losses), {"log_p": after.to(state["log_p"])}
