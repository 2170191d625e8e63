"""Sums over the steps of an epoch, by task and by pair of tasks; they stay on the device until the epoch ends."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.record import StepRecord
from polytask.batch import TaskLosses
from polytask.record.run import GradientFacts

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


PAIR_ROWS = 3  # sum of cosines, pairs with a cosine below 0, steps; on the diagonals: sum of lengths, 0, steps
DIGITS = 4


class GradientTally:
    """Mean lengths and cosines of the task gradients, over the steps that looked at them.

    :param tasks: the T tasks of the run.
    """

    def __init__(self, tasks: tuple[str, ...], device: torch.device | str = "cpu") -> None:
        self.tasks = tasks
        kind = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.sums = torch.zeros(PAIR_ROWS, len(tasks), len(tasks), dtype=kind, device=device)
        self.steps = 0

    def add(self, record: StepRecord, index: Tensor) -> None:
        """Count one step; one that looked at no gradient, or at gradients that are not finite, counts nothing.

        :param index: where the tasks of the record stand among those of the run.
        """
        cosines, norms = record.cosines, record.norms
        if cosines is None or norms is None:
            return
        self.steps += 1
        known = cosines.isfinite() & norms.isfinite() & norms.isfinite()[:, None]
        values = torch.where(known, cosines, 0)
        values.diagonal().copy_(torch.where(known.diagonal(), norms, 0))
        new = torch.stack([values, (values < 0).to(values), known.to(values)]).to(self.sums)
        self.sums[:, index[:, None], index] += new

    def facts(self) -> GradientFacts | None:
        """The means; None when no step looked at a gradient."""
        if not self.steps:
            return None
        sums = self.sums.cpu().double()
        means, upper = sums[0] / sums[2], torch.triu_indices(len(self.tasks), len(self.tasks), 1)
        pairs = sums[:, upper[0], upper[1]]
        return GradientFacts(
            tasks=self.tasks,
            steps=self.steps,
            conflicts=float(pairs[1].sum() / pairs[2].sum()),
            norms=tuple(float(f"{norm:.{DIGITS}g}") for norm in means.diagonal().tolist()),
            cosines=tuple(round(cosine, DIGITS) for cosine in means[upper[0], upper[1]].tolist()),
        )

    def state(self) -> dict[str, Tensor | int]:
        """For a checkpoint."""
        return {"sums": self.sums, "steps": self.steps}

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Put back what :meth:`state` gave."""
        self.sums.copy_(torch.as_tensor(state["sums"]))
        self.steps = int(state["steps"])

    def clear(self) -> None:
        """Start anew."""
        self.sums.zero_()
        self.steps = 0
