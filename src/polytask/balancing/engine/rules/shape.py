"""Nodes that move numbers about: views of gradients, or nothing at all."""

from __future__ import annotations

import torch

from polytask.balancing.engine.nodes import AnyNode, Arrived, Out, batched_dim, signed


def view(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Back to the shape before."""
    g = arrived.first
    return [Out(g.reshape(len(g), *node._saved_self_sym_sizes), own=arrived.own)]


def same(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Copies, aliases, expansions (the walk sums over what was broadcast) and casts (it casts, too)."""
    return [Out(arrived.first, own=arrived.own)]


def turn(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``t()`` of a matrix."""
    g = arrived.first
    return [Out(g.transpose(1, 2) if g.ndim == 3 else g, own=arrived.own)]


def transpose(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Two dimensions exchanged."""
    g = arrived.first
    ndim = g.ndim - 1
    dims = batched_dim(node._saved_dim0, ndim), batched_dim(node._saved_dim1, ndim)
    return [Out(g.transpose(*dims), own=arrived.own)]


def permute(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Dimensions in another order."""
    g = arrived.first
    order = [signed(dim) % (g.ndim - 1) for dim in node._saved_dims]
    back = [0] * len(order)
    for place, dim in enumerate(order):
        back[dim] = place
    return [Out(g.permute(0, *(dim + 1 for dim in back)), own=arrived.own)]


def unbind(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Slices put back side by side."""
    like = next(g for g in arrived.gradients if g is not None)
    parts = [torch.zeros_like(like) if g is None else g for g in arrived.gradients]
    return [Out(torch.stack(parts, batched_dim(node._saved_dim, like.ndim)), own=True)]


RULES = {
    "ViewBackward0": view,
    "UnsafeViewBackward0": view,
    "ReshapeAliasBackward0": view,
    "CloneBackward0": same,
    "AliasBackward0": same,
    "ToCopyBackward0": same,
    "ExpandBackward0": same,
    "TBackward0": turn,
    "TransposeBackward0": transpose,
    "PermuteBackward0": permute,
    "UnbindBackward0": unbind,
}
