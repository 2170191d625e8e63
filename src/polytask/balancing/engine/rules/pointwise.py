"""Entry by entry: the derivative is computed once and serves all tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.engine.nodes import AnyNode, Arrived, Out


def relu(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``g`` where the result is above 0."""
    g = arrived.first
    result: Tensor = node._saved_result
    if g.ndim == 5 and not g[0].is_contiguous() and g[0].is_contiguous(memory_format=torch.channels_last):
        result = result.contiguous(memory_format=torch.channels_last)
    if arrived.own:
        torch.ops.aten.threshold_backward.grad_input(g, result, 0, grad_input=g)
        return [Out(g, own=True)]
    return [Out(torch.ops.aten.threshold_backward(g, result, 0), own=True)]


def elementwise(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """A function of one tensor, entry by entry: ``g * f'``."""
    g = arrived.first
    derivative = node(g.new_ones(g.shape[1:]))
    if not isinstance(derivative, Tensor):
        return None
    return [Out(_times(g, derivative, own=arrived.own), own=True)]


def mul(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``self * other``."""
    g, wanted = arrived.first, [*arrived.wanted, False][:2]
    both = all(wanted)
    others = (node._saved_other if wanted[0] else None, node._saved_self if wanted[1] else None)
    outs = [
        Out(None if other is None else _times(g, other, own=arrived.own and not both), own=True) for other in others
    ]
    return outs[: len(arrived.wanted)]


def div(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``self / other`` by something that needs no gradient."""
    if len(arrived.wanted) > 1 and arrived.wanted[1]:
        return None
    g, other = arrived.first, node._saved_other
    return [Out(g / other, own=True), *([Out(None, own=True)] * (len(arrived.wanted) - 1))]


def add(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``self + alpha * other``: both get the same tensor, so neither may write to it."""
    g = arrived.first
    own = arrived.own and sum(arrived.wanted) < 2
    if len(arrived.wanted) < 2 or node._saved_alpha == 1:
        return [Out(g, own=own) for _ in arrived.wanted]
    return [Out(g, own=own), Out(g * node._saved_alpha, own=True)]


def sub(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``self - alpha * other``."""
    g = arrived.first
    own = arrived.own and len(arrived.wanted) < 2
    return [Out(g, own=own), Out(g * -node._saved_alpha, own=True)][: len(arrived.wanted)]


def _times(g: Tensor, factor: Tensor | float, *, own: bool) -> Tensor:
    if own and (not isinstance(factor, Tensor) or (factor.ndim <= g.ndim - 1 and factor.dtype == g.dtype)):
        return g.mul_(factor)
    return g * factor


SMOOTH = (
    *(
        "Gelu",
        "Silu",
        "Tanh",
        "Sigmoid",
        "LeakyRelu",
        "Elu",
        "Softplus",
        "Hardtanh",
        "Hardswish",
        "Hardsigmoid",
        "Mish",
    ),
    *("LogSigmoid", "Exp", "Log", "Log1P", "Sqrt", "Rsqrt", "Pow", "Neg", "Abs", "Clamp", "Sin", "Cos", "Reciprocal"),
    *("Erf", "NativeDropout"),
)
"""Functions of one tensor, entry by entry."""

RULES = {
    "ReluBackward0": relu,
    "MulBackward0": mul,
    "DivBackward0": div,
    "AddBackward0": add,
    "SubBackward0": sub,
    **{f"{name}Backward0": elementwise for name in SMOOTH},
}
