"""What one step of balancing did."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepRecord:
    """What one call of :meth:`Balancer.backward` did. Tensors stay on their device until they are asked for.

    :param names: the T present tasks.
    :param weight_values: ``(T,)``: weight of each in this step's total; NaN for a method that answers with an update
        instead of weights.
    :param loss_values: ``(T,)``: their losses, detached.
    :param gramian: ``(T, T)`` float64: inner products of the task gradients; None when the step looked at no gradient
        (methods on losses, and steps between two evaluations of ``every``).
    """

    names: tuple[str, ...]
    weight_values: Tensor
    loss_values: Tensor
    gramian: Tensor | None = None
    judge: Callable[[], float] | None = field(default=None, repr=False, compare=False)
    """What :attr:`residual` calls."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight by task (waits for the device)."""
        return dict(zip(self.names, self.weight_values.tolist(), strict=True))

    @property
    def losses(self) -> dict[str, float]:
        """Loss by task (waits for the device)."""
        return dict(zip(self.names, self.loss_values.tolist(), strict=True))

    @property
    def norms(self) -> Tensor | None:
        """``(T,)``: length of each task's gradient."""
        return None if self.gramian is None else self.gramian.diagonal().clamp_min(0).sqrt()

    @property
    def cosines(self) -> Tensor | None:
        """``(T, T)``: cosines between the task gradients; 0 where a gradient is 0."""
        if self.gramian is None:
            return None
        norms = self.gramian.diagonal().clamp_min(0).sqrt()
        safe = torch.where(norms > 0, norms, 1.0)
        return (self.gramian / safe / safe[:, None]).clamp(-1, 1)

    @property
    def conflicts(self) -> int | None:
        """Pairs of tasks whose gradients point apart (a cosine below 0); waits for the device."""
        cosines = self.cosines
        return None if cosines is None else int((cosines < 0).triu(1).sum())

    @property
    def residual(self) -> float:
        """How far the weights are from what defines them (:meth:`Method.residual`); NaN if that is not known.

        Computed when it is asked for.
        """
        return math.nan if self.judge is None else self.judge()
