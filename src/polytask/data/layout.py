"""Which target columns a task has, and which tables have labels for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from polytask.errors import DataError
from polytask.tasks.task import Target


def layout_of(targets: Sequence[Target]) -> dict[str, slice]:
    """Task name -> columns; tasks of equal signature lie side by side, in the order of their first appearance."""
    groups: dict[tuple[object, ...], list[Target]] = {}
    for target in targets:
        groups.setdefault(target.signature, []).append(target)
    layout, at = {}, 0
    for target in (target for group in groups.values() for target in group):
        layout[target.task.name] = slice(at, at + target.width)
        at += target.width
    return layout


def has_labels(target: Target, names: Collection[str]) -> bool:
    """Whether a table with these columns has labels for a task.

    :raises DataError: it has some of the target columns only.
    """
    there = [column in names for column in target.task.columns]
    if any(there) and not all(there):
        absent = [column for column, found in zip(target.task.columns, there, strict=True) if not found]
        raise DataError(
            f"the target columns {absent} are missing, others of the task are there.",
            where=f"task {target.task.name!r}",
        )
    return all(there)


def ranges(sizes: Mapping[str, int]) -> dict[str, range]:
    """Where the rows of each source lie, one source after the other."""
    ends = np.cumsum(list(sizes.values()), dtype=np.int64).tolist()
    return {name: range(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}
