"""A step whose weights are known already: one ordinary backward pass, no task gradient on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node

from polytask.balancing.engine.overlap import Overlap
from polytask.balancing.engine.sequential import plain_others, seeds_for, weighted_sinks
from polytask.balancing.engine.survey import Survey

Pairs = list[tuple[Tensor, Tensor]]


def gather(survey: Survey, weights: Tensor, factor: float) -> tuple[list[Tensor | None], Pairs]:
    """``J^T w`` at the sinks, and everything else with its plain gradient.

    Where every head belongs to one task, its part of the gradient is scaled on the way from the head into the trunk.
    Otherwise (stacked heads) the heads take a pass of their own, which ends at the trunk.
    """
    others = [leaf for leaf, _ in survey.others]
    if survey.losses.is_vector or any(mask & (mask - 1) for _, mask in survey.others):
        plain = plain_others(survey, factor)
        return weighted_sinks(survey, weights, factor), plain
    handles = [node.register_hook(hook) for node, hook in _gates(survey, weights)]
    try:
        parts, seeds = seeds_for(survey.losses, None, factor)
        overlap = Overlap(survey)
        wanted = [*survey.sinks, *others]
        found = torch.autograd.grad(parts, wanted, seeds, allow_unused=True, retain_graph=bool(overlap))
    finally:
        for handle in handles:
            handle.remove()
    split = len(survey.sinks)
    at_sinks, at_others = overlap.correct(found[:split], others, found[split:])
    return at_sinks, _pairs(others, at_others)


def _pairs(leaves: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Pairs:
    return [(leaf, gradient) for leaf, gradient in zip(leaves, gradients, strict=True) if gradient is not None]


Hook = Callable[[tuple[Tensor | None, ...], tuple[Tensor, ...]], tuple[Tensor | None, ...]]


def _gates(survey: Survey, weights: Tensor) -> list[tuple[Node, Hook]]:
    """Nodes of one task that lead into what tasks share, each with a hook that puts the weight on what passes."""
    gates = []
    for node in survey.order:
        mask = survey.masks[node]
        if mask & (mask - 1) == 0:
            leaving = [
                i
                for i, (child, output) in enumerate(survey.edges[node])
                if child is not None and ((child, output) in survey.sink_at or survey.masks.get(child, mask) != mask)
            ]
            if leaving:
                gates.append((node, _gate(weights[mask.bit_length() - 1], frozenset(leaving))))
    return gates


def _gate(weight: Tensor, leaving: frozenset[int]) -> Hook:
    def scale(inputs: tuple[Tensor | None, ...], _: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        return tuple(g * weight.to(g.dtype) if i in leaving and g is not None else g for i, g in enumerate(inputs))

    return scale
