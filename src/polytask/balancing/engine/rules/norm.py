"""Normalisation layers: the saved statistics serve all tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.engine.nodes import AnyNode, Arrived, Out

LAST = torch.channels_last


def batch_norm(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Native batch normalisation, in training and evaluation."""
    g, own = arrived.first, arrived.own
    x: Tensor = node._saved_input
    if g.ndim == 5:
        is_last = g[0].is_contiguous(memory_format=LAST)
        if is_last:
            x = x.contiguous(memory_format=LAST)
        elif not g.is_contiguous():
            g, own = g.contiguous(), True
    mask = arrived.wanted[:3]
    rooms = [
        (g if own else torch.empty_like(g)) if mask[0] else None,
        *(g.new_empty(len(g), g.shape[2]) if wanted else None for wanted in mask[1:]),
    ]
    saved = (node._saved_running_mean, node._saved_running_var, node._saved_result1, node._saved_result2)
    for t in range(len(g)):
        found = torch.ops.aten.native_batch_norm_backward(
            g[t], x, node._saved_weight, *saved, node._saved_training, node._saved_eps, mask
        )
        for room, value in zip(rooms, found, strict=True):
            if room is not None:
                room[t] = value
    return [Out(room, own=True) for room in rooms]


def layer_norm(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Native layer normalisation."""
    g = arrived.first
    shape, weight, bias = list(node._saved_normalized_shape), node._saved_weight, node._saved_bias
    wanted = [*arrived.wanted, False, False][:3]
    rooms = [
        (g if arrived.own else torch.empty_like(g)) if wanted[0] else None,
        *(g.new_empty(len(g), *shape) if want else None for want in wanted[1:]),
    ]
    x, mean, rstd = node._saved_input, node._saved_result1, node._saved_result2
    for t in range(len(g)):
        found = torch.ops.aten.native_layer_norm_backward(g[t], x, shape, mean, rstd, weight, bias, wanted)
        for room, value in zip(rooms, found, strict=True):
            if room is not None:
                room[t] = value
    return [Out(room, own=True) for room in rooms]


RULES = {"NativeBatchNormBackward0": batch_norm, "NativeLayerNormBackward0": layer_norm}
