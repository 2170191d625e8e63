"""Softmax, as attention uses it."""

from __future__ import annotations

import torch

from polytask.balancing.engine.nodes import AnyNode, Arrived, Out, signed


def softmax(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``y (g - sum(g y))`` along the dimension, task by task in place."""
    g, y = arrived.first, node._saved_result
    if g.dtype != y.dtype:
        return None
    dim = signed(node._saved_dim)
    room = g if arrived.own else torch.empty_like(g)
    for t in range(len(g)):
        torch.ops.aten._softmax_backward_data.out(g[t], y, dim, y.dtype, grad_input=room[t])
    return [Out(room, own=True)]


RULES = {"SoftmaxBackward0": softmax}
