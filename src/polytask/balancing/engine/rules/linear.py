"""Matrix products: linear layers, and the products of attention written out."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.engine.factors import Linear
from polytask.balancing.engine.multiply import multiply
from polytask.balancing.engine.nodes import NOTHING, AnyNode, Arrived, Out, leads_to_leaf


def mm(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``self @ mat2``."""
    return _product(node, arrived, first=0, saved="_saved_self")


def addmm(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """``bias + mat1 @ mat2``; the walk sums the bias over what it was broadcast to."""
    if node._saved_alpha != 1 or node._saved_beta != 1:
        return None
    return [Out(arrived.first, own=False), *_product(node, arrived, first=1, saved="_saved_mat1")]


def _product(node: AnyNode, arrived: Arrived, *, first: int, saved: str) -> list[Out]:
    g, edges = arrived.first, node.next_functions
    left, right = NOTHING, NOTHING
    if arrived.wanted[first]:
        other: Tensor = node._saved_mat2
        if leads_to_leaf(edges[first]):
            left = Out(Linear(other.T, g.transpose(1, 2)), own=False)
        else:
            product = multiply(g.reshape(-1, g.shape[2]), other.T)
            left = Out(product.view(g.shape[0], g.shape[1], -1), own=True)
    if arrived.wanted[first + 1]:
        factor = Linear(getattr(node, saved), g, is_turned=True)
        is_weight = leads_to_leaf(edges[first + 1])
        right = Out(factor if is_weight else factor.dense(), own=False)
    return [left, right]


def bmm(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """A batch of products: task by task into one tensor, because a batch of batches would copy the saved values."""
    g = arrived.first
    outs = [NOTHING, NOTHING]
    if arrived.wanted[0]:
        right = node._saved_mat2.transpose(1, 2)
        room = g.new_empty(len(g), g.shape[1], g.shape[2], right.shape[2])
        for t in range(len(g)):
            torch.bmm(g[t], right, out=room[t])
        outs[0] = Out(room, own=True)
    if arrived.wanted[1]:
        left = node._saved_self.transpose(1, 2)
        room = g.new_empty(len(g), g.shape[1], left.shape[1], g.shape[3])
        for t in range(len(g)):
            torch.bmm(left, g[t], out=room[t])
        outs[1] = Out(room, own=True)
    return outs


RULES = {"MmBackward0": mm, "AddmmBackward0": addmm, "BmmBackward0": bmm}
