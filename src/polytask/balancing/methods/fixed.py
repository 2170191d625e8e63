"""Fixed weights, chosen by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Fixed(Weigher):
    """Gives every task the weight that the user chose.

    ``w_t = weights[t]``

    The weights are used as they are: they need not sum to anything.

    :param weights: task name -> weight, 0 or more, one for every task.
    :raises ConfigError: a weight that is negative or not finite; a task without a weight, or a weight without a task.

    >>> Fixed({"age": 1.0, "height": 0.5})
    Fixed(weights={'age': 1.0, 'height': 0.5})
    """

    needs = Need.LOSSES
    verified = "worked example; autograd of the weighted sum"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE})
    mentions_all = True

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        for task, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"expected a weight of 0 or more, found {weight}.", where=f"weights.{task}")

    def mentions(self) -> frozenset[str]:
        """The tasks that have a weight."""
        return frozenset(self.weights)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The weights of ``tasks``."""
        for task in tasks:
            if task not in self.weights:
                raise ConfigError(
                    f"the task {task!r} has no weight.", where="balancer 'fixed'", do=did_you_mean(task, self.weights)
                )
        chosen = [float(self.weights[task]) for task in tasks]
        return {"weights": torch.tensor(chosen, dtype=like.dtype, device=like.device)}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The chosen weights."""
        return state["weights"], state
