"""Adam as a pure function, for the few numbers that a method learns beside the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor, Tensor]
"""First moment, second moment and number of steps, each with the shape of the value."""


def adam(
    value: Tensor, slope: Tensor, moments: Moments, lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[Tensor, Moments]:
    """One step of Adam down ``slope``, element by element; arguments are left unchanged.

    ``m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  x <- x - lr (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + 1e-8)``

    Every element counts its own steps k, as if each were a parameter of its own in ``torch.optim.Adam``.

    :param value: x.
    :param slope: g, the derivative of the objective at x.
    :param moments: m, v and k so far; zeros at the start.
    :param lr: step size, in units of x.

    Kingma, Ba. Adam: A Method for Stochastic Optimization. ICLR 2015.
    """
    first, second, steps = moments
    b1, b2 = betas
    steps = steps + 1
    first = torch.lerp(first, slope, 1 - b1)
    second = torch.lerp(second, slope * slope, 1 - b2)
    size = (second / _one_minus_power(b2, steps)).sqrt() + 1e-8
    return torch.addcdiv(value, first / _one_minus_power(b1, steps), size, value=-lr), (first, second, steps)


def _one_minus_power(b: float, k: Tensor) -> Tensor:
    return -torch.expm1(k * math.log(b))  # 1 - b**k loses four digits in float32 when b is .999
