"""Task gradients divided by something before a method sees them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from polytask.balancing.contract import Evidence

Normalise: TypeAlias = Literal["none", "loss", "gradient"]
KNOWN: tuple[str, ...] = get_args(Normalise)


def units(normalise: Normalise, losses: Tensor, gramian: Tensor) -> Tensor | None:
    """``(T,)`` float64: what each task's gradient is multiplied by; None: nothing is.

    A divisor of 0 (no loss, no gradient) leaves the gradient as it is.
    """
    if normalise == "none":
        return None
    divisor = losses.double().abs() if normalise == "loss" else gramian.diagonal().clamp_min(0).sqrt()
    return torch.where(divisor > 0, divisor, 1.0).reciprocal()


def scaled(evidence: Evidence, gramian: Tensor, jacobian: Tensor | None, factors: Tensor | None) -> Evidence:
    """The evidence with ``D G D``, ``D J`` and the same for ``J1 J2^T``, for ``D = diag(factors)``."""
    cross = evidence.cross
    if factors is not None:
        gramian = gramian * factors * factors[:, None]
        cross = None if cross is None else cross * factors * factors[:, None]
        jacobian = None if jacobian is None else jacobian * factors[:, None].to(jacobian)
    return Evidence(evidence.losses, gramian, jacobian, cross, evidence.kpi)
