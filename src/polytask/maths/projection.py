"""The nearest point of the probability simplex."""

from __future__ import annotations

import torch
from torch import Tensor


def onto_simplex(v: Tensor) -> Tensor:
    """``argmin_w |w - v|`` over ``w >= 0, sum w = 1``, for ``v`` of shape ``(T,)``; exact, by sorting.

    ``w = max(v - theta, 0)`` with the theta that makes the sum 1. Nothing waits for the device.

    >>> onto_simplex(torch.tensor([0.75, 0.75, -1.0]))
    tensor([0.5000, 0.5000, 0.0000])

    Held, Wolfe, Crowder. Validation of Subgradient Optimization. Mathematical Programming 1974.
    """
    v = v - v.max()  # the projection is the same, and huge numbers do not swallow the 1
    falling = v.sort(descending=True).values
    k = torch.arange(1, len(v) + 1, dtype=v.dtype, device=v.device)
    theta = (falling.cumsum(0) - 1) / k
    kept = (falling > theta).sum()
    w = (v - theta[kept - 1]).clamp_min(0)
    return w / w.sum()
