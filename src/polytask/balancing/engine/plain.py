"""Methods that see losses alone: one ordinary backward pass of the weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.engine.deliver import Backward


def weighted_backward(values: Tensor, weights: Tensor, *, scale: float = 1.0, backward: Backward | None = None) -> None:
    """Add the gradient of ``scale * sum_t w_t L_t`` to ``.grad`` of everything that the losses ``(T,)`` depend on.

    :param weights: ``(T,)``, constants.
    :param scale: a factor on everything, for example 1/k in gradient accumulation over k micro-batches.
    """
    factors = weights if scale == 1.0 else weights * scale
    total = torch.dot(factors.to(values.dtype), values)
    if backward is None:
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    else:
        backward(total)
