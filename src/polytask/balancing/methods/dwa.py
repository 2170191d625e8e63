"""Dynamic weight averaging."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError


@dataclass(frozen=True)
class DWA(Weigher):
    """Gives more weight to tasks whose loss fell less from one epoch to the next.

    ``w = T softmax(r / tau),   r_t = Lbar_t(e - 1) / Lbar_t(e - 2)``

    where ``Lbar_t(e)`` is the mean over the steps of epoch e in which the task was present. In its first two epochs a
    task has r = 1, so all weights are 1 until there is something to compare; T counts the present tasks. The method
    needs to be told of epochs (:meth:`Balancer.epoch_end`); an epoch without the task is not counted for it.

    :param tau: temperature; larger is closer to equal weights.

    Liu, Johns, Davison. CVPR 2019.
    """

    needs = Need.LOSSES
    paper = Paper("Liu, Johns, Davison", "End-to-End Multi-Task Learning with Attention", "CVPR", 2019)
    verified = "worked example; epochs by hand"
    laws = frozenset({Law.SUM_T, Law.EQUIVARIANT, Law.SCALE_FREE})
    domain = "non-negative"

    tau: float = 2.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tau) and self.tau > 0):
            raise ConfigError(f"expected a temperature above 0, found {self.tau}.", where="tau")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Mean and steps of this epoch, and the means of the last and the one before (NaN: not yet known)."""
        zero = torch.zeros(len(tasks), dtype=like.dtype, device=like.device)
        return {"mean": zero.clone(), "steps": zero.clone(), "last": zero + math.nan, "before": zero + math.nan}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``T softmax(r / tau)``."""
        tiny = torch.finfo(evidence.losses.dtype).tiny
        r = state["last"] / state["before"].clamp_min(tiny)
        r = r.nan_to_num(nan=1.0)  # infinite: the largest float
        steps = state["steps"] + 1
        mean = state["mean"] + (evidence.losses - state["mean"]) / steps
        return len(r) * torch.softmax(r / self.tau, 0), {**state, "mean": mean, "steps": steps}

    def epoch_end(self, state: State) -> State:
        """The mean of this epoch becomes the last one."""
        if not state:
            return state
        seen = state["steps"] > 0
        return {
            "mean": torch.zeros_like(state["mean"]),
            "steps": torch.zeros_like(state["steps"]),
            "last": torch.where(seen, state["mean"], state["last"]),
            "before": torch.where(seen, state["last"], state["before"]),
        }
