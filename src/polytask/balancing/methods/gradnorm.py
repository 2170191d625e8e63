"""Gradient normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError

LOWEST = 1e-6
"""Weights stay above this share of the mean weight."""


@dataclass(frozen=True)
class GradNorm(Weigher):
    """Learns weights that give all tasks gradients of one length, longer for tasks that train more slowly.

    ``minimise over w:  sum_t | w_t |g_t| - G r_t^alpha |,   G = mean_t w_t |g_t|,   r = l / mean(l),   l = L / L(0)``

    with the targets ``G r_t^alpha`` held constant, so the derivative is ``sign(w_t |g_t| - G r_t^alpha) |g_t|``. After
    each step of Adam on it the weights are kept above 0 and brought to sum T again; a step uses the weights from
    before its update. L(0) is the first loss above 0 of a task.

    |g_t| is the length of the gradient on what the caller shares. The paper takes the weight of the last shared layer
    alone, to save time: lengths there and on all shared parameters give different weights. Lengths are measured in
    units of the first mean length, which Adam does not notice, except that tiny gradients are not lost next to its
    1e-8. In a batch without some tasks, sums and means are over those present.

    :param alpha: how much slow tasks are pulled forward; 0 gives all tasks equal lengths. Paper: 0.12 to 1.5.
    :param lr: step size of the weights.

    Chen, Badrinarayanan, Lee, Rabinovich. ICML 2018.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Chen, Badrinarayanan, Lee, Rabinovich",
        "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks",
        "ICML",
        2018,
    )
    verified = "worked examples; autograd and Adam of torch; the toy of the paper"
    laws = frozenset({Law.SUM_T, Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE})
    domain = "non-negative"

    alpha: float = 1.5
    lr: float = 0.025

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)
        if not 0 <= self.alpha < math.inf:
            raise ConfigError(f"expected a number of 0 or more, found {self.alpha}.", where="alpha")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """w, the moments of its Adam, the first losses and the unit of length (NaN: not yet known)."""
        memory = learned.begin(1.0, tasks, like)
        unknown = torch.full_like(memory["s"], math.nan)
        return {**memory, "loss": unknown, "unit": unknown.clone()}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """w, then one step of Adam on it."""
        w = _sum_to_count(state["s"])
        lengths = evidence.products.diagonal().clamp_min(0).sqrt().to(w)
        unit = _first(state["unit"], lengths.mean().expand_as(w))
        loss = _first(state["loss"], evidence.losses)
        slope = derivative(w, lengths, (evidence.losses / loss).nan_to_num(nan=1.0), self.alpha)
        moved = learned.descend({**state, "s": w}, (slope / unit).nan_to_num(nan=0.0), self.lr)
        return w, {**moved, "s": _sum_to_count(moved["s"].clamp_min(LOWEST)), "loss": loss, "unit": unit}


def derivative(w: Tensor, lengths: Tensor, progress: Tensor, alpha: float) -> Tensor:
    """Of the objective, with respect to w.

    :param lengths: ``(T,)``: |g_t|, without the weights.
    :param progress: ``(T,)``: L_t / L_t(0).
    """
    G = w * lengths
    target = G.mean() * (progress / progress.mean()).nan_to_num(nan=1.0) ** alpha
    return torch.sign(G - target) * lengths


def _sum_to_count(w: Tensor) -> Tensor:
    return w * (len(w) / w.sum())


def _first(known: Tensor, now: Tensor) -> Tensor:
    """What is known, or else the number of now if it is above 0."""
    return torch.where(known.isnan() & (now > 0), now, known)
