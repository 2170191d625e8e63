"""Smooth Tchebycheff scalarisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError


@dataclass(frozen=True)
class STCH(Weigher):
    """Minimises a smooth maximum of the log-losses, each counted from where it stood after the warm-up.

    ``total = T mu log sum_t exp(log(L_t / n_t) / mu),   w_t = d total / d L_t = T softmax(log(L / n) / mu)_t / L_t``

    The smaller mu, the more the task that lags behind its own nadir n decides. The first ``warmup`` epochs of a task
    and the one in which its n is measured (the mean loss of that epoch) count it as standing at its nadir: with all
    tasks there, ``w_t = 1 / L_t``, the sum of the log-losses. T counts the present tasks.

    The method needs to be told of epochs (:meth:`Balancer.epoch_end`); an epoch without the task is not counted for
    it. This is the form of the authors' multi-task code; the paper's, ``mu log sum exp(lambda_t (L_t - z_t) / mu)``,
    is for general problems.

    :param mu: smoothing, in units of a logarithm of the loss.
    :param warmup: epochs before the one that measures the nadir.

    Lin, Zhang, Yang, Liu, Wang, Zhang. ICML 2024.
    """

    needs = Need.LOSSES
    paper = Paper(
        "Lin, Zhang, Yang, Liu, Wang, Zhang",
        "Smooth Tchebycheff Scalarization for Multi-Objective Optimization",
        "ICML",
        2024,
    )
    verified = "worked examples; autograd of the total"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.TASK_SCALE_FREE})
    domain = "positive"

    mu: float = 1.0
    warmup: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.mu < math.inf:
            raise ConfigError(f"expected a number above 0, found {self.mu}.", where="mu")
        if self.warmup < 0:
            raise ConfigError(f"expected 0 epochs or more, found {self.warmup}.", where="warmup")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Epochs and nadir (NaN: not yet known) of each task, the mean loss of this epoch and its steps."""
        zero = torch.zeros(len(tasks), dtype=like.dtype, device=like.device)
        return {"epochs": zero, "nadir": zero + math.nan, "mean": zero.clone(), "steps": zero.clone()}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``T softmax(log(L / n) / mu) / L``."""
        losses = evidence.losses.clamp_min(torch.finfo(evidence.losses.dtype).tiny)
        lag = (losses.log() - state["nadir"].log()).nan_to_num(nan=0.0)
        steps = state["steps"] + 1
        mean = state["mean"] + (losses - state["mean"]) / steps
        w = len(losses) * torch.softmax(lag / self.mu, 0) / losses
        return w, {**state, "mean": mean, "steps": steps}

    def epoch_end(self, state: State) -> State:
        """After the warm-up the mean of this epoch becomes the nadir, once."""
        if not state:
            return state
        seen = state["steps"] > 0
        due = seen & state["nadir"].isnan() & (state["epochs"] >= self.warmup)
        return {
            "epochs": state["epochs"] + seen.to(state["epochs"]),
            "nadir": torch.where(due, state["mean"], state["nadir"]),
            "mean": torch.zeros_like(state["mean"]),
            "steps": torch.zeros_like(state["steps"]),
        }
