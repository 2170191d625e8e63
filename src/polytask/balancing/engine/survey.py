"""One look at the recorded autograd graph: which tasks reach which node, and which parameters are there at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from polytask.balancing.losses import Given

Edge: TypeAlias = tuple[Node, int]
"""A node of the graph and the number of its output that is meant."""

LEAF = "torch::autograd::AccumulateGrad"


class Survey:
    """The graph between the losses and the sinks: the tensors at which task gradients are wanted.

    Sets of tasks are bit masks: bit t stands for task t.

    :param sinks: shared parameters (leaves), or features (the graph below them is not looked at).
    """

    def __init__(self, losses: Given, sinks: Sequence[Tensor]) -> None:
        self.losses = losses
        self.sinks = tuple(sinks)
        self.roots: list[tuple[Edge, int]] = _roots(losses)
        edges = [get_gradient_edge(sink) for sink in sinks]
        self.sink_at: dict[Edge, int] = {(edge.node, edge.output_nr): i for i, edge in enumerate(edges)}
        self.edges: dict[Node, tuple[tuple[Node | None, int], ...]] = {}
        self.order: list[Node] = []
        """Every node but leaves, users before what they use."""
        self._leaves: dict[Node, int] = {}
        self._visit()
        self.order.reverse()
        self.masks: dict[Node, int] = {}
        self.sink_masks = [0] * len(self.sinks)
        self._spread()

    @property
    def others(self) -> list[tuple[Tensor, int]]:
        """Leaves that are no sink and are reached without passing one, with the tasks that reach them: the heads."""
        return [(leaf.variable, mask) for leaf, mask in self._leaves.items()]  # type: ignore[attr-defined]  # of leaves

    def sink_uses(self) -> list[int]:
        """How many edges lead to each sink."""
        uses = [0] * len(self.sinks)
        arriving = [edge for edge, _ in self.roots] + [edge for below in self.edges.values() for edge in below]
        for edge in arriving:
            if (sink := self.sink_at.get(edge)) is not None:  # type: ignore[arg-type]  # no node is no sink
                uses[sink] += 1
        return uses

    def batch_masks(self) -> dict[Node, int]:
        """The tasks whose gradients must be told apart at each node; 0 where only their sum matters."""
        leads: set[Node] = set()
        for node in reversed(self.order):
            if any(edge in self.sink_at or edge[0] in leads for edge in self.edges[node]):
                leads.add(node)
        return {node: mask if node in leads or mask & (mask - 1) == 0 else 0 for node, mask in self.masks.items()}

    def _visit(self) -> None:
        stack = [node for (node, output), _ in self.roots if not self._ends(node, output)]
        done: set[Node] = set()
        while stack:
            node = stack[-1]
            if node in self.edges:
                stack.pop()
                if node not in done:
                    done.add(node)
                    self.order.append(node)
                continue
            below = self.edges[node] = node.next_functions
            # In reverse: a weight is then turned right after its layer, and what is kept for it can go.
            for child, output in reversed(below):
                if child is not None and child not in self.edges and not self._ends(child, output):
                    stack.append(child)

    def _ends(self, node: Node, output: int) -> bool:
        """Whether the walk ends at this edge: at a sink or a leaf."""
        if (node, output) in self.sink_at:
            return True
        if node.name() == LEAF:
            self._leaves[node] = 0
            return True
        return False

    def _spread(self) -> None:
        for (node, output), mask in self.roots:
            self._add(node, output, mask)
        for node in self.order:
            mask = self.masks[node]
            for child, output in self.edges[node]:
                if child is not None:
                    self._add(child, output, mask)

    def _add(self, node: Node, output: int, mask: int) -> None:
        if (sink := self.sink_at.get((node, output))) is not None:
            self.sink_masks[sink] |= mask
        elif node in self._leaves:
            self._leaves[node] |= mask
        else:
            self.masks[node] = self.masks.get(node, 0) | mask


def _roots(losses: Given) -> list[tuple[Edge, int]]:
    edges = [get_gradient_edge(part) for part in losses.parts]
    every = (1 << len(losses)) - 1
    masks = [every] if losses.is_vector else [1 << t for t in range(len(losses))]
    return [((edge.node, edge.output_nr), mask) for edge, mask in zip(edges, masks, strict=True)]


def tasks_of(mask: int) -> tuple[int, ...]:
    """The tasks in a bit mask, in order.

    >>> tasks_of(0b1101)
    (0, 2, 3)
    """
    return tuple(t for t in range(mask.bit_length()) if mask >> t & 1)
