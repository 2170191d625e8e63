"""Dual-balancing multi-task learning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Combiner, Evidence, Law, State
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.blocks import lengths


@dataclass(frozen=True)
class DBMTL(Combiner):
    """Sums running means of the gradients of the log-losses, each brought to the length of the longest.

    ``d = sum_t (max_s |b_s| / |b_t|) b_t,   b_t <- beta_k b_t + (1 - beta_k) g_t / L_t,   beta_k = beta / k^sigma``

    for the k-th step of a task; b starts at zero without a correction of the bias, so that with the defaults the first
    update has a tenth of the length. No unit of a loss matters. The scale is that of a sum of T gradients of the
    longest length. A running mean of zero adds nothing. The published code adds 1e-8 to L and to |b|; here they are
    only kept from being 0.

    The memory holds one gradient per task (T P numbers), and while a step is computed the new one beside it.

    :param beta: how much of the running mean is kept, from 0 to below 1.
    :param sigma: how fast that is forgotten over the steps.

    Lin, Jiang, Ye, Zhang, Chen, Chen, Liu, Kwok. arXiv 2023.
    """

    paper = Paper(
        "Lin, Jiang, Ye, Zhang, Chen, Chen, Liu, Kwok", "Dual-Balancing for Multi-Task Learning", "arXiv", 2023
    )
    verified = "worked example; lengths"
    laws = frozenset({Law.EQUIVARIANT, Law.TASK_SCALE_FREE})
    domain = "positive"

    beta: float = 0.9
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ConfigError(f"expected a number from 0 to below 1, found {self.beta}.", where="beta")
        if not 0 <= self.sigma < math.inf:
            raise ConfigError(f"expected a number of 0 or more, found {self.sigma}.", where="sigma")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The running means and the number of steps."""
        return {"b": like.new_zeros(len(tasks), like.shape[-1]), "steps": like.new_zeros(len(tasks))}

    def combine(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One step of the means, and their sum at one length."""
        J = evidence.rows
        losses = evidence.losses.to(J).clamp_min(torch.finfo(J.dtype).tiny)
        steps = state["steps"] + 1
        keep = self.beta / steps**self.sigma
        b = (state["b"] * keep[:, None]).addcmul_(J, ((1 - keep) / losses)[:, None])
        size = lengths(b)
        factors = torch.where(size > 0, size.max() / size, 0.0)
        return factors.to(b) @ b, {"b": b, "steps": steps}
