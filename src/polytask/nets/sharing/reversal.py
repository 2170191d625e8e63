"""Gradient reversal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    """Identity forward, ``-factor`` times the gradient backward."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse(values: Tensor, factor: float = 1.0) -> Tensor:
    r"""The same values, whose gradient comes back as :math:`-\lambda \, \nabla`.

    :param factor: :math:`\lambda`.

    Source: Ganin, Lempitsky. Unsupervised domain adaptation by backpropagation. ICML 2015.
    """
    reversed_: Tensor = _Reversal.apply(values, factor)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return reversed_
