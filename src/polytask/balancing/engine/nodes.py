"""Nodes of the recorded graph, run by hand: one call per task, and what autograd does between two nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import Node

from polytask.balancing.engine.factors import Factor

AnyNode: TypeAlias = Any
"""A node whose saved values are read: torch gives them as attributes ``_saved_*`` that it does not declare."""

Value: TypeAlias = Tensor | Factor


class Out(NamedTuple):
    """What a node sends to one of its inputs.

    :param value: gradients ``(r, ...)`` of r tasks, or a factor that stands for them; None: nothing arrives.
    :param own: nobody else holds this memory, so it may be written to.
    """

    value: Value | None
    own: bool


NOTHING = Out(None, True)


class Arrived(NamedTuple):
    """What has arrived at a node when its turn comes.

    :param gradients: for each of its outputs ``(r, ...)``, or None.
    :param own: nobody else holds this memory.
    :param wanted: for each of its inputs, whether anything there wants a gradient.
    """

    gradients: list[Tensor | None]
    own: bool
    wanted: list[bool]

    @property
    def first(self) -> Tensor:
        """The gradient of the first output."""
        gradient = self.gradients[0]
        if gradient is None:
            raise LookupError("no gradient arrived at the first output")
        return gradient


def call(node: AnyNode, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Run a node as autograd would, nodes of Python functions included."""
    if callable(node):
        found = node(*gradients)
        return found if isinstance(found, tuple) else (found,)
    filled = [
        torch.zeros(meta.shape, dtype=meta.dtype, device=meta.device) if gradient is None else gradient
        for gradient, meta in zip(gradients, node._input_metadata, strict=True)
    ]
    answer = node.apply(*filled)
    listed = list(answer) if isinstance(answer, tuple | list) else [answer]
    below = node.next_functions
    if len(listed) != len(below):  # Python functions answer for arguments that are no tensors, too
        tensors = iter(value for value, needed in zip(listed, node.needs_input_grad, strict=True) if needed)
        listed = [None if child is None else next(tensors) for child, _ in below]
    return tuple(listed)


def one_by_one(node: AnyNode, gradients: Sequence[Tensor | None], count: int) -> list[Out]:
    """Any node: one call per task, the answers side by side."""
    outs: list[Tensor | None] = []
    for t in range(count):
        found = call(node, [None if gradient is None else gradient[t] for gradient in gradients])
        if not outs:
            outs = [None if value is None else value.new_zeros(count, *value.shape) for value in found]
        for out, value in zip(outs, found, strict=True):
            if out is not None and value is not None:
                out[t] = value
    return [Out(out, own=True) for out in outs]


def alone(node: AnyNode, gradients: Sequence[Tensor | None]) -> list[Out]:
    """A node that one task reaches: one call."""
    found = call(node, [None if gradient is None else gradient[0] for gradient in gradients])
    return [Out(None if value is None else value[None], own=False) for value in found]


def fit(gradient: Tensor, node: AnyNode, output: int) -> Tensor:
    """A gradient ``(r, ...)`` in the shape and type of the value it belongs to: autograd sums what was broadcast."""
    meta = node._input_metadata[output]
    shape, dtype = tuple(meta.shape), meta.dtype
    found = tuple(gradient.shape[1:])
    if found != shape:
        extra = len(found) - len(shape)
        if extra:
            gradient = gradient.sum(list(range(1, extra + 1)))
        ones = [i + 1 for i, size in enumerate(shape) if size == 1 and gradient.shape[i + 1] != 1]
        if ones:
            gradient = gradient.sum(ones, keepdim=True)
    return gradient if gradient.dtype == dtype else gradient.to(dtype)


def signed(value: int) -> int:
    """Negative numbers are stored as unsigned 64-bit ones."""
    return value - (1 << 64) if value >= 1 << 63 else value


def batched_dim(value: int, ndim: int) -> int:
    """A dimension of a value of ``ndim`` dimensions, counted in its gradients ``(r, ...)``."""
    dim = signed(value)
    return (dim if dim >= 0 else dim + ndim) + 1


STRAIGHT = ("TBackward0", "ToCopyBackward0", "torch::autograd::AccumulateGrad")


def leads_to_leaf(edge: tuple[Node | None, int]) -> bool:
    """Whether an edge goes to a leaf through nothing but transpositions and casts: the gradient may stay a factor."""
    node = edge[0]
    while node is not None and node.name() in STRAIGHT:
        if not node.next_functions:
            return True
        node = node.next_functions[0][0]
    return False
