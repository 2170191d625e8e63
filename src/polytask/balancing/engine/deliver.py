"""Gradients that are already known, handed to ``.grad`` the way autograd does it.

A scalar is made whose derivative with respect to given tensors is what we say. Its backward pass accumulates into
``.grad``, runs the hooks of parameters (which distributed training lives on), flows on through the trunk when the
tensors are features, and goes through whatever the user calls instead of ``total.backward()``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Backward: TypeAlias = Callable[[Tensor], object]
"""What is called with the total in place of ``total.backward()``: ``fabric.backward``, or a scaler's."""


def factor_of(backward: Backward | None, like: Tensor) -> float:
    """The factor that ``backward`` puts on a total: the scale of a gradient scaler; 1 if there is none.

    Task gradients are taken from losses times this factor, or half-precision gradients would underflow.
    """
    if backward is None:
        return 1.0
    probe = torch.ones((), device=like.device, requires_grad=True)
    backward(probe * 1.0)
    return 1.0 if probe.grad is None else float(probe.grad)


def deliver(pairs: Sequence[tuple[Tensor, Tensor]], value: Tensor, backward: Backward | None) -> None:
    """Add to ``.grad`` of each tensor (or of what it depends on) the gradient beside it.

    :param pairs: tensors and gradients, which already carry the factor of ``backward``.
    :param value: what the scalar says that it is, for a callable that looks at it.
    """
    gradients = tuple(gradient for _, gradient in pairs)
    total = _Known.apply(value.detach(), gradients, *(tensor for tensor, _ in pairs))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if backward is None:
        total.backward()
    else:
        backward(total)


class _Known(torch.autograd.Function):
    """A scalar with known derivatives."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor, ...], *of: Tensor) -> Tensor:
        """The scalar."""
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients as they are: they were computed with the factor that arrives here."""
        gradients, ctx.gradients = ctx.gradients, ()
        return (None, None, *gradients)
