"""Who shares what, for the record of a run."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from polytask.batch import Inputs
from polytask.nets.description import flops, owners
from polytask.nets.model import Model
from polytask.record.layout import LayoutFacts, PartFacts

PASSED_OVER = ("stages", "copies", "base")
"""Names on the way to a part that say nothing about it."""
COUNTED_FROM_ONE = "units"


def layout(model: Model, row: Inputs, sharing: str) -> LayoutFacts:
    """The parts of a model, whose they are and how large.

    :param row: inputs of one row, which the operations are counted on.
    :param sharing: name of the way of sharing.
    """
    shared, reached, own = owners(model)
    parts = [PartFacts(name, "shared", model.tasks, (size,)) for name, size in _sizes(shared).items()]
    parts += [PartFacts(name, "read", tuple(sizes), tuple(sizes.values())) for name, sizes in _by_part(reached)]
    parts += [PartFacts(name, "own", tuple(sizes), tuple(sizes.values())) for name, sizes in _by_part(own)]
    return LayoutFacts(sharing, model.tasks, tuple(parts), float(flops(model, row)))


def _by_part(states: dict[str, dict[str, Tensor]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Name of a part -> task -> size."""
    sizes = {task: _sizes(state) for task, state in states.items()}
    for name in dict.fromkeys(name for found in sizes.values() for name in found):
        yield name, {task: found[name] for task, found in sizes.items() if name in found}


def _sizes(state: dict[str, Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for key, value in state.items():
        name = part_name(key)
        sizes[name] = sizes.get(name, 0) + value.numel()
    return sizes


def part_name(key: str) -> str:
    """What a part is called, from the key of one of its weights.

    >>> part_name("experts.blocks.0.copies.linear.weight")
    'experts, block 1'
    >>> part_name("stages.stem.categorical.tables.0.weight")
    'stem'
    >>> part_name("gate.weight")
    'gate'
    """
    path = [step for step in key.split(".")[:-1] if step not in PASSED_OVER]
    if "stem" in path[:2]:
        return "stem"
    depth = 2 if path[1:2] == ["blocks"] else 1
    number = path[depth] if len(path) > depth and path[depth].isdigit() else None
    if number is None or not path:
        return path[0] if path else key
    words = ", ".join(path[:depth])
    place = int(number) + (path[0] != COUNTED_FROM_ONE)
    return f"{words.removesuffix('s')} {place}"
