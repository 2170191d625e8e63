"""What all contenders of a comparison are given: the same encoded rows, the same split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from polytask.batch import InputSpec
from polytask.data.table import Table
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Part:
    """The rows that one seed trains on, and those that choose its weights."""

    train: Table
    validation: Table | None


@dataclass(frozen=True)
class Problem:
    """Encoded training and test rows of a comparison. Schema and targets were fitted on the training rows alone.

    :param train: encoded training rows (of all sources).
    :param test: encoded test rows; nothing is ever chosen by them.
    :param validation: rows that choose the checkpoint; None: every seed draws them from ``train``.
    :param spec: what a stem must know of the columns.
    :param targets: what the tasks learned about their labels.
    """

    train: Table
    test: Table
    spec: InputSpec
    targets: tuple[Target, ...]
    validation: Table | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks."""
        return tuple(target.task.name for target in self.targets)

    @property
    def primary(self) -> tuple[Target, ...]:
        """The targets of the primary tasks: those that are judged."""
        return tuple(target for target in self.targets if target.task.role == "primary")

    def chosen(self, tasks: Iterable[str]) -> tuple[Target, ...]:
        """The targets of some tasks, in the order of the problem."""
        wanted = set(tasks)
        return tuple(target for target in self.targets if target.task.name in wanted)

    def split(self, fraction: float, seed: int) -> Part:
        """Training and validation rows for one seed; every contender of a seed gets the same ones.

        :param fraction: share of the rows of every source that is set aside.
        """
        return (
            Part(self.train, self.validation) if self.validation is not None else set_aside(self.train, fraction, seed)
        )


def set_aside(table: Table, fraction: float, seed: int) -> Part:
    """A share of the rows of every source as validation rows, drawn by the seed; at least one row stays."""
    kept, held = [], []
    for i, rows in enumerate(table.sources.values()):
        order = np.random.default_rng([seed, 1, i]).permutation(np.arange(rows.start, rows.stop, dtype=np.int64))
        count = min(round(fraction * len(rows)), len(rows) - 1)
        held.append(np.sort(order[:count]))
        kept.append(np.sort(order[count:]))
    if not sum(map(len, held)):
        return Part(table, None)
    return Part(table.take(np.concatenate(kept)), table.take(np.concatenate(held)))
