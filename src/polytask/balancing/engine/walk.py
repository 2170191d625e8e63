"""One pass backwards through the recorded graph with the gradients of all tasks side by side.

Each node is visited once, with gradients ``(r, ...)`` of the r tasks that reach it. Where nothing below needs to tell
the tasks apart (only heads, or parameters that were not named as shared), their sum goes on alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import Node

from polytask.balancing.engine.factors import Dense, Factor, Linear, merged, spread
from polytask.balancing.engine.nodes import STRAIGHT, Arrived, Out, Value, alone, fit, one_by_one
from polytask.balancing.engine.rules import RULES
from polytask.balancing.engine.sequential import seeds_for
from polytask.balancing.engine.survey import Survey, tasks_of

SUM = 0
"""The set of tasks of a gradient that is the sum over all tasks, as one row."""

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
        self._slots: dict[Node, dict[int, Out]] = {}
        self._uses = survey.sink_uses()
        self._arrived: dict[int, list[Factor]] = {}
        self._masks = survey.batch_masks()
        self._index: dict[tuple[int, int], Tensor] = {}

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
            self._put(node, output, Out(value, own=True), mask)
            self._count(node, output)

    def _visit(self, node: Node) -> None:
        edges = self.survey.edges[node]
        slots = self._slots.pop(node, None)
        if slots is not None:
            mask = self._masks[node]
            for (child, output), out in zip(edges, self._outs(node, slots, mask), strict=True):
                if child is not None and out.value is not None:
                    self._put(child, output, out, mask)
        for child, output in edges:
            if child is not None:
                self._count(child, output)

    def _outs(self, node: Node, slots: dict[int, Out], mask: int) -> list[Out]:
        """What the node sends down."""
        if node.name() in STRAIGHT and isinstance(value := slots[0].value, Factor):
            is_turn = node.name() == "TBackward0"
            return [Out(value.turned() if is_turn and isinstance(value, Linear) else value, own=False)]
        outputs = len(node._input_metadata)
        gradients = [_dense(slots[k].value) if k in slots else None for k in range(outputs)]
        own = all(slot.own for slot in slots.values())
        slots.clear()
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

    def _put(self, node: Node, output: int, out: Out, mask: int) -> None:
        """Bring a gradient of the tasks in ``mask`` to where it belongs."""
        value, own = out
        if value is None:
            return
        if isinstance(value, Tensor):
            fitted = fit(value, node, output)
            own = own or fitted is not value
            value = fitted
        if (sink := self.survey.sink_at.get((node, output))) is not None:
            use = value if isinstance(value, Factor) else Dense(value)
            self._arrived.setdefault(sink, []).append(self._widened(use, mask, self.survey.sink_masks[sink]))
        elif node not in self._masks:
            plain = _summed(value, mask)
            before = self.others.get(node)
            self.others[node] = plain if before is None else before + plain
        else:
            self._add(node, output, value, own=own, mask=mask)

    def _add(self, node: Node, output: int, value: Value, *, own: bool, mask: int) -> None:
        target = self._masks[node]
        slots = self._slots.setdefault(node, {})
        before = slots.get(output)
        if target == SUM and mask != SUM:
            value, own = _summed(value, mask), mask.bit_count() > 1
        elif mask != target:
            rows = self._rows(mask, target, _device(value))
            if before is not None and before.own and isinstance(before.value, Tensor):
                before.value.index_add_(0, rows, _dense(value))
                return
            if isinstance(value, Factor):
                value = value.spread(rows, target.bit_count())
            else:
                value, own = spread(value, rows, target.bit_count()), True
        slots[output] = Out(value, own) if before is None else _total(before, Out(value, own))

    def _count(self, node: Node, output: int) -> None:
        """One use of a sink is done; after the last, its gradients are complete."""
        sink = self.survey.sink_at.get((node, output))
        if sink is None:
            return
        self._uses[sink] -= 1
        if self._uses[sink] == 0 and (uses := self._arrived.pop(sink, None)):
            self._at_sink(sink, merged(uses))

    def _widened(self, use: Factor, mask: int, target: int) -> Factor:
        if mask == target:
            return use
        return use.spread(self._rows(mask, target, use.held.device), target.bit_count())

    def _rows(self, mask: int, target: int, device: torch.device) -> Tensor:
        """The places of the tasks ``mask`` among the tasks ``target``."""
        if (mask, target) not in self._index:
            place = {task: row for row, task in enumerate(tasks_of(target))}
            self._index[mask, target] = torch.tensor([place[task] for task in tasks_of(mask)], device=device)
        return self._index[mask, target]


def _dense(value: Value | None) -> Tensor:
    if value is None:
        raise LookupError("nothing arrived")
    return value.dense() if isinstance(value, Factor) else value


def _device(value: Value) -> torch.device:
    return value.held.device if isinstance(value, Factor) else value.device


def _summed(value: Value, mask: int) -> Tensor:
    """The sum over tasks, as one row."""
    if isinstance(value, Factor):
        held = value.held
        return value.combine(torch.ones(len(held), dtype=held.dtype, device=held.device))[None]
    return value if mask.bit_count() <= 1 else value.sum(0, keepdim=True)


def _total(one: Out, two: Out) -> Out:
    """The sum of two gradients, in the memory of one of them if that is allowed."""
    a, b = _dense(one.value), _dense(two.value)
    if one.own and isinstance(one.value, Tensor):
        return Out(a.add_(b), own=True)
    if two.own and isinstance(two.value, Tensor):
        return Out(b.add_(a), own=True)
    return Out(a + b, own=True)
