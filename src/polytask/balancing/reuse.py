"""Weights that are used for several steps before they are computed anew."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.memory import Memory


class Reuse:
    """The last weight of every task and how often it was used.

    :param every: how many steps a task may use one weight.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.memory = Memory(lambda names, like: {"weights": torch.zeros_like(like[:1]).expand(len(names)).clone()})
        self.uses: dict[str, int] = {}

    def due(self, names: tuple[str, ...]) -> bool:
        """True if one of the tasks has no weight yet, or has used its weight ``every`` times."""
        return self.every == 1 or any(self.uses.get(name, self.every) >= self.every for name in names)

    def keep(self, names: tuple[str, ...], weights: Tensor) -> None:
        """Remember fresh weights ``(T,)``, used once."""
        if self.every > 1:
            self.memory.gather(names, weights)  # meets new tasks
            self.memory.scatter(names, {"weights": weights})
            self.uses.update(dict.fromkeys(names, 1))

    def take(self, names: tuple[str, ...], like: Tensor) -> Tensor:
        """The last weights ``(T,)`` of the tasks, used once more."""
        for name in names:
            self.uses[name] += 1
        return self.memory.gather(names, like)["weights"]
