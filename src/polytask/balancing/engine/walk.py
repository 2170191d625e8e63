"""One pass backwards through the recorded graph with the gradients of all tasks side by side.

Each node is visited once, with gradients ``(r, ...)`` of the r tasks that reach it. Where nothing below needs to tell
the tasks apart (only heads, or parameters that were not named as shared), their sum goes on alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import Node

from polytask.balancing.engine.factors import Factor, Linear
from polytask.balancing.engine.nodes import STRAIGHT, Arrived, Out, alone, fit, one_by_one
from polytask.balancing.engine.parts import Part, collect, dense, factor_of, joined, summed
from polytask.balancing.engine.rules import RULES
from polytask.balancing.engine.sequential import seeds_for
from polytask.balancing.engine.survey import Survey

AtSink = Callable[[int, Factor], None]


class Walk:
    """A batched backward pass.

    :param at_sink: called once per sink, with the gradients of the tasks ``survey.sink_masks[i]``, as soon as the last
        of them has arrived.
    """

    def __init__(self, survey: Survey, at_sink: AtSink) -> None:
        self.survey = survey
        self.others: dict[Node, Tensor] = {}
        self._at_sink = at_sink
        self._parts: dict[Node, dict[int, list[Part]]] = {}
        self._at_sinks: dict[int, list[Part]] = {}
        self._uses = survey.sink_uses()
        self._masks = survey.batch_masks()

    def run(self, factor: float) -> list[tuple[Tensor, Tensor]]:
        """Walk; the answer is the plain gradient of every leaf that is no sink."""
        with torch.no_grad():
            self._start(factor)
            for node in self.survey.order:
                self._visit(node)
        return [(leaf.variable, gradient[0]) for leaf, gradient in self.others.items()]  # type: ignore[attr-defined]  # of leaves

    def _start(self, factor: float) -> None:
        parts, seeds = seeds_for(self.survey.losses, None, factor)
        for ((node, output), mask), seed in zip(self.survey.roots, seeds, strict=True):
            value = torch.diag(seed) if parts[0].ndim == 1 else seed[None]
            self._put(node, output, Part(value, True, mask))
            self._count(node, output)

    def _visit(self, node: Node) -> None:
        edges = self.survey.edges[node]
        parts = self._parts.pop(node, None)
        if parts is not None:
            mask = self._masks[node]
            for (child, output), (value, own) in zip(edges, self._outs(node, parts, mask), strict=True):
                if child is not None and value is not None:
                    self._put(child, output, Part(value, own, mask))
        for child, output in edges:
            if child is not None:
                self._count(child, output)

    def _outs(self, node: Node, parts: dict[int, list[Part]], mask: int) -> list[Out]:
        """What the node sends down."""
        if node.name() in STRAIGHT and isinstance(value := joined(parts[0], mask).value, Factor):
            is_turn = node.name() == "TBackward0"
            return [Out(value.turned() if is_turn and isinstance(value, Linear) else value, own=False)]
        outputs = len(node._input_metadata)
        there = {output: joined(found, mask) for output, found in parts.items()}
        parts.clear()
        gradients = [dense(there[k].value) if k in there else None for k in range(outputs)]
        own = all(out.own for out in there.values())
        there.clear()
        count = mask.bit_count() or 1
        if count == 1:
            return alone(node, gradients)
        rule = RULES.get(node.name())
        if rule is not None and not any(g is not None and g.is_complex() for g in gradients):
            is_first = gradients[0] is not None or node.name() == "UnbindBackward0"
            wanted = [child is not None for child, _ in node.next_functions]
            if is_first and (outs := rule(node, Arrived(gradients, own, wanted))) is not None:
                return outs
        return one_by_one(node, gradients, count)

    def _put(self, node: Node, output: int, part: Part) -> None:
        """Bring a gradient to where it belongs."""
        if isinstance(part.value, Tensor):
            fitted = fit(part.value, node, output)
            part = Part(fitted, part.own or fitted is not part.value, part.mask)
        if (sink := self.survey.sink_at.get((node, output))) is not None:
            collect(self._at_sinks.setdefault(sink, []), part)
        elif node not in self._masks:
            before = self.others.get(node)
            self.others[node] = summed(part) if before is None else before + summed(part)
        else:
            collect(self._parts.setdefault(node, {}).setdefault(output, []), part)

    def _count(self, node: Node, output: int) -> None:
        """One use of a sink is done; after the last, its gradients are complete."""
        sink = self.survey.sink_at.get((node, output))
        if sink is None:
            return
        self._uses[sink] -= 1
        if self._uses[sink] == 0 and (parts := self._at_sinks.pop(sink, None)):
            self._at_sink(sink, factor_of(parts, self.survey.sink_masks[sink]))
