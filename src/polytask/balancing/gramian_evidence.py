"""From evidence to numpy and back: one transfer, float64, whatever the device and dtype of training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.contract import Evidence
from polytask.maths.gramian import Array, Gramian


def weights_of(evidence: Evidence, solve: Callable[[Gramian], Array], zero: float, none: float) -> Tensor:
    """Weights ``(T,)`` like the losses, from a solver that sees the tasks whose gradient is not zero.

    :param solve: weights ``(n,)`` from the Gramian of n >= 1 tasks.
    :param zero: the weight of a task whose gradient is zero.
    :param none: the weight of every task when all gradients are zero.
    :returns: NaN for all if the Gramian is not finite, so that whoever looks for overflow (a ``GradScaler``) finds it.
    """
    gramian = read(evidence)
    if gramian is None:
        return torch.full_like(evidence.losses, torch.nan)
    if not gramian.alive.any():
        return torch.full_like(evidence.losses, none)
    weights = gramian.spread(solve(gramian), zero)
    return torch.from_numpy(weights).to(evidence.losses)


def read(evidence: Evidence) -> Gramian | None:
    """The Gramian of the evidence; None if it is not finite."""
    if evidence.gramian is None:
        raise TypeError("a method that needs the Gramian was called without it")
    values = numbers(evidence.gramian)
    if not np.isfinite(values).all():
        return None
    dtype = evidence.gramian.dtype
    return Gramian.split(values, torch.finfo(dtype).eps)


def numbers(values: Tensor) -> Array:
    """The values in float64 on the CPU."""
    return values.detach().to("cpu", torch.float64).numpy()
