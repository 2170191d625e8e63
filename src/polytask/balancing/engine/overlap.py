"""Features that lie below other features, and weights that lie both below features and in heads.

An ordinary backward pass to such a tensor collects everything that arrives there. Wanted is only what has not passed a
feature on its way, because that will be sent on from the feature; the rest is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from polytask.balancing.engine.survey import Survey


class Overlap:
    """What of the sinks and leaves of a survey is reached through features."""

    def __init__(self, survey: Survey) -> None:
        self.sinks = survey.sinks
        self.above: dict[int, list[int]] = {}
        self.tied: list[Tensor] = []
        self._order: list[int] = list(range(len(self.sinks)))
        if all(sink.is_leaf for sink in self.sinks):
            return
        nodes = [get_gradient_edge(sink).node for sink in self.sinks]
        below = [_below(node) for node in nodes]
        for i, sink in enumerate(self.sinks):
            above = [j for j in range(len(nodes)) if j != i and nodes[i] in below[j] and sink is not self.sinks[j]]
            if above:
                self.above[i] = above
        self._order.sort(key=lambda i: len(self.above.get(i, ())))
        everything = set[Node]().union(*below)
        self.tied = [leaf for leaf, _ in survey.others if get_gradient_edge(leaf).node in everything]

    def __bool__(self) -> bool:
        return bool(self.above or self.tied)

    def correct(
        self, at_sinks: Sequence[Tensor | None], leaves: Sequence[Tensor], at_leaves: Sequence[Tensor | None]
    ) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """The gradients of one ordinary pass without what came through (other) features."""
        sinks, others = list(at_sinks), list(at_leaves)
        for i in self._order:
            if i in self.above:
                sinks[i] = self._without(self.sinks[i], sinks[i], sinks, self.above[i])
        for k, leaf in enumerate(leaves):
            if any(leaf is tied for tied in self.tied):
                others[k] = self._without(leaf, others[k], sinks, range(len(sinks)))
        return sinks, others

    def _without(
        self, at: Tensor, found: Tensor | None, gradients: Sequence[Tensor | None], features: Sequence[int]
    ) -> Tensor | None:
        pairs = [(self.sinks[j], g) for j in features if (g := gradients[j]) is not None]
        if found is None or not pairs:
            return found
        outputs, seeds = [feature for feature, _ in pairs], [seed for _, seed in pairs]
        through = torch.autograd.grad(outputs, [at], seeds, retain_graph=True, allow_unused=True)[0]
        return found if through is None else found - through


def _below(start: Node) -> set[Node]:
    """Every node that a node leads to, itself included."""
    seen: set[Node] = set()
    stack = [start]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(child for child, _ in node.next_functions if child is not None)
    return seen
