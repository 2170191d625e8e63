"""Task gradients by T ordinary backward passes: slower, but right for every graph that autograd can record."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.balancing.engine.gathered import Rows, empty_matrix, gramian_of
from polytask.balancing.engine.overlap import Overlap
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given


def gather(survey: Survey, factor: float, *, keep_graph: bool = False) -> Rows:
    """The Jacobian row by row.

    :param factor: on all losses; the rows carry it, too.
    :param keep_graph: the graph will be needed again.
    """
    losses, sinks = survey.losses, survey.sinks
    overlap = Overlap(survey)
    matrix = empty_matrix(len(losses), sinks)
    own, common = _split(survey)
    later = keep_graph or bool(common) or bool(overlap)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for t in range(len(losses)):
        leaves = [*own[t], *(leaf for leaf in overlap.tied if not _holds(own[t], leaf))]
        retain = later or t < len(losses) - 1
        gradients = _backward(losses, t, [*sinks, *leaves], factor, retain=retain)
        at_sinks, at_leaves = overlap.correct(gradients[: len(sinks)], leaves, gradients[len(sinks) :])
        _write(matrix[t], sinks, at_sinks)
        _add(found, leaves, at_leaves)
    common = [leaf for leaf in common if not _holds(overlap.tied, leaf)]
    if common:
        _add(found, common, _backward(losses, None, common, factor, retain=keep_graph))
    return Rows(gramian_of(matrix) / factor**2, list(found.values()), factor, sinks, matrix)


def _holds(tensors: Sequence[Tensor], sought: Tensor) -> bool:
    return any(tensor is sought for tensor in tensors)


def _split(survey: Survey) -> tuple[list[list[Tensor]], list[Tensor]]:
    """Leaves that one task reaches, by task (their gradient costs nothing extra in its pass), and all others."""
    own: list[list[Tensor]] = [[] for _ in range(len(survey.losses))]
    common = []
    for leaf, mask in survey.others:
        if mask & (mask - 1) == 0:
            own[mask.bit_length() - 1].append(leaf)
        else:
            common.append(leaf)
    return own, common


def _backward(
    losses: Given, task: int | None, wanted: Sequence[Tensor], factor: float, *, retain: bool
) -> tuple[Tensor | None, ...]:
    """The gradients of one task's loss (None: of the sum of all)."""
    parts, seeds = seeds_for(losses, task, factor)
    return torch.autograd.grad(parts, wanted, seeds, retain_graph=retain, allow_unused=True)


def seeds_for(losses: Given, task: int | None, factor: float) -> tuple[list[Tensor], list[Tensor]]:
    """Which tensors to go backwards from, and the gradients to start with."""
    if not losses.is_vector:
        parts = list(losses.parts) if task is None else [losses.parts[task]]
        seeds = [torch.ones_like(part) for part in parts]
    else:
        parts = list(losses.parts)
        seeds = [torch.ones_like(parts[0]) if task is None else torch.zeros_like(parts[0])]
        if task is not None:
            seeds[0][task] = 1.0
    return parts, seeds if factor == 1.0 else [seed * factor for seed in seeds]


def plain_others(survey: Survey, factor: float) -> list[tuple[Tensor, Tensor]]:
    """Every leaf that is no sink with the gradient of the summed loss, what comes through features left out."""
    others = [leaf for leaf, _ in survey.others]
    if not others:
        return []
    overlap = Overlap(survey)
    sinks = survey.sinks if overlap else ()
    parts, seeds = seeds_for(survey.losses, None, factor)
    found = torch.autograd.grad(parts, [*sinks, *others], seeds, retain_graph=True, allow_unused=True)
    _, gradients = overlap.correct(found[: len(sinks)], others, found[len(sinks) :]) if overlap else ((), found)
    return [(leaf, gradient) for leaf, gradient in zip(others, gradients, strict=True) if gradient is not None]


def weighted_sinks(survey: Survey, weights: Tensor, factor: float, *, keep_graph: bool = False) -> list[Tensor | None]:
    """``J^T w`` by one ordinary backward pass."""
    overlap = Overlap(survey)
    parts, seeds = seeds_for(survey.losses, None, factor)
    if survey.losses.is_vector:
        seeds = [seeds[0] * weights.to(seeds[0].dtype)]
    else:
        seeds = [seed * weight.to(seed.dtype) for seed, weight in zip(seeds, weights, strict=True)]
    found = torch.autograd.grad(parts, survey.sinks, seeds, allow_unused=True, retain_graph=keep_graph or bool(overlap))
    return overlap.correct(found, (), ())[0]


def _write(row: Tensor, sinks: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    start = 0
    for sink, gradient in zip(sinks, gradients, strict=True):
        if gradient is not None:
            row[start : start + sink.numel()] = gradient.flatten()
        start += sink.numel()


def _add(found: dict[int, tuple[Tensor, Tensor]], leaves: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    for leaf, gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            before = found.get(id(leaf))
            found[id(leaf)] = (leaf, gradient if before is None else before[1] + gradient)
