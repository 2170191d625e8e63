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
