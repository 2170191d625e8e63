"""A bilevel method inside the training loop: weights of a batch from rows that are set aside for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from polytask.balancing.engine.deliver import Backward
from polytask.balancing.engine.plain import weighted_backward
from polytask.balancing.record import StepRecord
from polytask.batch import Batch, TaskLosses
from polytask.data.table import Table
from polytask.nets.model import Model
from polytask.training.bilevel.balancer import BilevelBalancer
from polytask.training.bilevel.contract import Bilevel

ROWS_ASIDE = 11
"""Stream of random numbers that the rows of the outer problem are drawn from."""

LossesOf = Callable[[Model, Batch], TaskLosses]


class BilevelSteps:
    """Weighs batches by what a step on them would do to other training rows.

    Those rows are never trained on, and they are not the validation rows, which choose checkpoints. They come in
    batches as large as those of training, drawn anew in each step.

    :param primary: the tasks whose losses on the rows aside count.
    :param aside: the rows of the outer problem.
    :param losses: losses of a batch in the units of training.
    """

    def __init__(
        self,
        method: Bilevel,
        model: Model,
        optimizer: Optimizer,
        *,
        primary: frozenset[str],
        aside: Table,
        batch_size: int,
        seed: int,
        losses: LossesOf,
    ) -> None:
        self.method = method
        self.model = model
        self.optimizer = optimizer
        self.losses = losses
        self._balancer = BilevelBalancer(method, primary=primary)
        self._aside, self._size, self._seed = aside, min(batch_size, len(aside)), seed
        self._steps = 0

    def backward(self, given: TaskLosses, batch: Batch, backward: Backward) -> StepRecord:
        """New weights, and the backward pass of the weighted losses.

        :param given: of ``batch``, with their graph; tasks that are not among them have no weight.
        """
        device = given.values.device
        outer = self._aside.batch(self._rows()).to(device)
        weights = self._balancer.weights(self.model, self._kept(given.names), batch, outer, self.optimizer)
        values = torch.stack([weights[name] for name in given.names])
        weighted_backward(given.values, values, backward=backward)
        return StepRecord(given.names, values, given.values.detach())

    def epoch_end(self) -> None:
        """Nothing: these methods know no epochs."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on."""
        return {**self._balancer.state_dict(), "steps": self._steps}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._balancer.load_state_dict(saved)
        self._steps = saved["steps"]

    def _rows(self) -> torch.Tensor:
        rng = np.random.default_rng([self._seed, ROWS_ASIDE, self._steps])
        self._steps += 1
        return torch.from_numpy(np.sort(rng.choice(len(self._aside), self._size, replace=False)))

    def _kept(self, names: tuple[str, ...]) -> Callable[[torch.nn.Module, Any], Mapping[str, torch.Tensor]]:
        """Losses of these tasks only: a task whose loss is not finite here shall not come back."""

        def kept(model: torch.nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
            found = self.losses(self.model, batch)
            return {n: loss for n, loss in zip(found.names, found.values.unbind(), strict=True) if n in names}

        return kept
