"""Sums over the steps of an epoch, by task; they stay on the device until the epoch ends."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.batch import TaskLosses

ROWS = 4  # sum of loss * labelled rows, labelled rows, sum of weights, steps


class Tally:
    """Mean loss (by labelled row) and mean weight (by step) of every task.

    :param tasks: the T tasks of the run, in the order of all tensors here.
    """

    def __init__(self, tasks: tuple[str, ...], device: torch.device | str = "cpu") -> None:
        self.tasks = tasks
        kind = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.sums = torch.zeros(ROWS, len(tasks), dtype=kind, device=device)
        self._index: dict[tuple[str, ...], Tensor] = {}

    def index(self, names: tuple[str, ...]) -> Tensor:
        """Where ``names`` stand among the tasks."""
        found = self._index.get(names)
        if found is None:
            place = {name: i for i, name in enumerate(self.tasks)}
            found = self._index[names] = torch.tensor(
                [place[name] for name in names], dtype=torch.int64, device=self.sums.device
            )
        return found

    def add(self, losses: TaskLosses, weights: Tensor) -> None:
        """Count one batch."""
        values = losses.values.detach()
        new = torch.stack([values * losses.counts, losses.counts, weights, torch.ones_like(values)]).to(self.sums.dtype)
        if losses.names == self.tasks:
            self.sums += new
        else:
            self.sums.index_add_(1, self.index(losses.names), new)

    def losses(self) -> dict[str, float]:
        """Task -> mean loss; NaN for a task without a labelled row."""
        return dict(zip(self.tasks, (self.sums[0] / self.sums[1]).tolist(), strict=True))

    def weights(self) -> dict[str, float]:
        """Task -> mean weight over the steps that it took part in; NaN if in none."""
        return dict(zip(self.tasks, (self.sums[2] / self.sums[3]).tolist(), strict=True))

    def clear(self) -> None:
        """Start anew."""
        self.sums.zero_()
