"""Fast adaptive multi-task optimisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing import learned
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError


@dataclass(frozen=True)
class FAMO(Weigher):
    """Lets all log-losses fall at the same rate, by looking at the losses again after the step.

    ``w = c z / L,   z = softmax(s),   c = 1 / sum_t (z_t / L_t)``

    so the weights sum to 1 and weighted losses are proportional to z. After the step, with the losses L' of the same
    batch, s follows by Adam the derivative ``z (d - z.d) + gamma s``, where ``d = log L - log L'``: a task whose loss
    fell more than the average loses weight. Costs one more forward pass (:attr:`looks_back`); without it the weights
    are proportional to 1/L.

    Losses must be above 0; subtract a known lower bound from a loss that can be lower (its gradient does not change).
    The published code adds 1e-8 to L; here only a loss below the smallest normal number is lifted, so the weights do
    not depend on the unit of the losses. In a batch without some tasks z is the softmax over those present.

    :param lr: step size of s.
    :param gamma: pull of s towards 0 (weight decay in the derivative). The published runs use 1e-3 and 1e-2.

    Liu, Feng, Stone, Liu. NeurIPS 2023.
    """

    needs = Need.LOSSES
    paper = Paper("Liu, Feng, Stone, Liu", "FAMO: Fast Adaptive Multitask Optimization", "NeurIPS", 2023)
    verified = "worked example; autograd and Adam of torch"
    laws = frozenset({Law.SIMPLEX, Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE})
    domain = "positive"
    looks_back = True

    lr: float = 0.025
    gamma: float = 0.001

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)
        if not 0 <= self.gamma < math.inf:
            raise ConfigError(f"expected a number of 0 or more, found {self.gamma}.", where="gamma")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """s, the moments of its Adam, and the log-losses of the last step."""
        memory = learned.begin(0.0, tasks, like)
        return {**memory, "logs": torch.zeros_like(memory["s"])}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``softmax(s - log L)``, which is ``c z / L``."""
        logs = _log(evidence.losses)
        return torch.softmax(state["s"] - logs, 0), {**state, "logs": logs}

    def look_back(self, losses: Tensor, state: State) -> State:
        """One step of Adam on s; ``losses`` are those of the same batch after the step."""
        z = torch.softmax(state["s"], 0)
        d = state["logs"] - _log(losses)
        slope = z * (d - z @ d) + self.gamma * state["s"]
        return {**learned.descend(state, slope, self.lr), "logs": state["logs"]}


def _log(losses: Tensor) -> Tensor:
    return losses.clamp_min(torch.finfo(losses.dtype).tiny).log()
