"""Heads inside a way of sharing: extra supervision at depths where no answer is given."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Targets
from polytask.nets.sharing.presence import of_unit
from polytask.tasks.task import Target, labelled

MOMENTUM = 0.1
"""Share of a batch in the running unit of a side head's loss."""


class SideHead(nn.Module):
    """A linear head of one task, with a loss in units of the best constant predictor.

    Like the answering heads it starts at that predictor, so its first loss is 1. The unit is a running mean over
    batches of the constant predictor's loss: a way of sharing does not see the whole training split.

    :param target: the task and what it learned.
    :param width: D, numbers per row that it reads.
    """

    unit: Tensor

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        self.target = target
        self.name = target.task.name
        self.weight = nn.Parameter(torch.zeros(target.outputs, width))
        self.bias = nn.Parameter(target.bias().to(torch.float32).clone())
        self.register_buffer("start", target.bias().to(torch.float32).clone(), persistent=False)
        self.register_buffer("unit", torch.zeros(()))
        self._constants = tuple(sorted(target.constants()))
        for name in self._constants:
            self.register_buffer(f"constant_{name}", target.constants()[name][None], persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """``(N, D) -> (N, K)``."""
        return functional.linear(values.to(self.weight.dtype), self.weight, self.bias)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean loss over labelled rows, in units of the constant predictor, times the task's weight; 0 without rows.

        :param outputs: ``(N, K)``; of texts those of rows, then of words, ``(N + M, K)``.
        """
        outputs = of_unit(outputs, self.target, len(targets))
        block = targets[self.name][:, None]
        present = labelled(block)[:, 0].to(torch.float32)
        count = present.sum()
        constants = {name: self.get_buffer(f"constant_{name}") for name in self._constants}
        with torch.no_grad():
            constant = self.get_buffer("start").expand(len(outputs), 1, -1)
            reference = self.target.task.row_losses(constant, block, constants)[:, 0]
            self._update(torch.where(present > 0, reference, 0.0).sum() / count.clamp(min=1), count)
        cut = outputs.masked_fill(present[:, None] == 0, 0.0)  # what stands in other rows reaches no gradient
        rows = self.target.task.row_losses(cut[:, None], block, constants)[:, 0]
        mean = (rows * present).sum() / count.clamp(min=1)
        return self.target.task.weight * mean / torch.where(self.unit > 0, self.unit, 1.0)

    def _update(self, reference: Tensor, count: Tensor) -> None:
        is_first = self.unit == 0
        mixed = torch.where(is_first, reference, torch.lerp(self.unit, reference, MOMENTUM))
        self.unit.copy_(torch.where((count > 0) & reference.isfinite(), mixed, self.unit))
