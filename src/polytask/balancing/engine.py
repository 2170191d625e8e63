"""The only file of this room that calls autograd: it gathers evidence and writes the answer into ``.grad``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from polytask.balancing.contract import Evidence, Method, Need, Weigher
from polytask.errors import UserError

Backward: TypeAlias = Callable[[Tensor], object]
"""What is called with the total in place of ``total.backward()``: ``fabric.backward``, or a scaler's."""

GIVES = Need.LOSSES
"""The most evidence that this engine can gather."""


def runnable(method: Method) -> Weigher:
    """The method, if this engine can serve it.

    :raises UserError: the method needs more evidence than the engine gathers, or answers with an update.
    """
    if not isinstance(method, Weigher) or method.needs > GIVES:
        raise UserError(
            f"{type(method).__name__} needs the {Need(method.needs).name} of the task gradients; the engine gathers "
            f"{', '.join(need.name for need in Need if need <= GIVES)} so far.",
            do="Call the method on your own evidence with polytask.balancing.weigh, or choose a method that works on "
            "losses.",
        )
    return method


def observe(values: Tensor) -> Evidence:
    """What a method may see of the losses ``(T,)``: detached, and float32 at least."""
    seen = values.detach()
    return Evidence(seen.float() if seen.dtype in (torch.float16, torch.bfloat16) else seen)


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
