"""Gradients of different tasks that arrive at one place, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from polytask.balancing.engine.factors import Dense, Factor, merged
from polytask.balancing.engine.nodes import Out, Value
from polytask.balancing.engine.survey import tasks_of

SUM = 0
"""The set of tasks of a gradient that is the sum over all tasks, as one row."""


class Part(NamedTuple):
    """What arrived over one edge.

    :param value: gradients ``(r, ...)``, or a factor that stands for them.
    :param own: nobody else holds this memory.
    :param mask: the r tasks, as a bit mask.
    """

    value: Value
    own: bool
    mask: int


def collect(parts: list[Part], part: Part) -> None:
    """Add a part to those that are there, at once if that needs no further memory."""
    last = parts[-1] if parts else None
    if last is not None and last.mask == part.mask:
        if last.own and isinstance(last.value, Tensor):
            last.value.add_(dense(part.value))
            return
        if part.own and isinstance(part.value, Tensor):
            parts[-1] = Part(part.value.add_(dense(last.value)), True, part.mask)
            return
    parts.append(part)


def joined(parts: Sequence[Part], target: int) -> Out:
    """The sum of all parts, for the tasks ``target``."""
    if len(parts) == 1 and parts[0].mask == target:
        return Out(parts[0].value, parts[0].own)
    if target == SUM:
        total = summed(parts[0])
        for part in parts[1:]:
            total = total + summed(part)
        return Out(total, own=parts[0].mask.bit_count() > 1 or len(parts) > 1)
    if (side_by_side := _stacked(parts, target)) is not None:
        return Out(side_by_side, own=True)
    first = dense(parts[0].value)
    room = first.new_zeros(target.bit_count(), *first.shape[1:])
    for part in parts:
        if part.mask == target:
            room += dense(part.value)
        else:
            room.index_add_(0, _places(part.mask, target, room.device), dense(part.value))
    return Out(room, own=True)


def factor_of(parts: Sequence[Part], target: int) -> Factor:
    """All parts as one factor, for the tasks ``target``."""
    written = [part for part in parts if isinstance(part.value, Tensor)]
    uses: list[Factor] = []
    if written:
        uses.append(Dense(dense(joined(written, target).value)))
    for part in parts:
        if isinstance(part.value, Factor):
            places = None if part.mask == target else _places(part.mask, target, part.value.held.device)
            uses.append(part.value if places is None else part.value.spread(places, target.bit_count()))
    return merged(uses)


def summed(part: Part) -> Tensor:
    """The sum over tasks, as one row."""
    if isinstance(part.value, Factor):
        held = part.value.held
        return part.value.combine(torch.ones(len(held), dtype=held.dtype, device=held.device))[None]
    return part.value if part.mask.bit_count() <= 1 else part.value.sum(0, keepdim=True)


def dense(value: Value | None) -> Tensor:
    """Gradients written out."""
    if value is None:
        raise LookupError("nothing arrived")
    return value.dense() if isinstance(value, Factor) else value


def _stacked(parts: Sequence[Part], target: int) -> Tensor | None:
    """One row per part, if that is all there is to do."""
    if len(parts) != target.bit_count() or any(part.mask.bit_count() != 1 for part in parts):
        return None
    ordered = sorted(parts, key=lambda part: part.mask)
    if len({part.mask for part in ordered}) < len(ordered):
        return None
    return torch.cat([dense(part.value) for part in ordered])


def _places(mask: int, target: int, device: torch.device) -> Tensor:
    """The places of the tasks ``mask`` among the tasks ``target``."""
    place = {task: row for row, task in enumerate(tasks_of(target))}
    return torch.tensor([place[task] for task in tasks_of(mask)], device=device)
