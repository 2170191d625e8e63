"""Scores of one trained model on test rows, task by task, and the pairing of two methods' scores for a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.errors import UserError
from polytask.evaluation.contract import TaskScores
from polytask.tasks.task import Answer, Array, Target, labelled


@dataclass(frozen=True)
class TaskScore:
    """How well one model does one task.

    :param task: its name. :param metric: the main metric, with its direction and the value of a perfect model.
    :param values: every metric of the task over the labelled rows; NaN where undefined.
    :param rows: ``(n,)`` row scores of the main metric; their mean is its value.
    :param positions: ``(n,)`` places of the labelled rows among all N rows.
    :param rare_rows: labelled rows of the rarer class of a binary task, else None.
    """

    task: str
    metric: str
    higher_is_better: bool
    best: float | None
    values: Mapping[str, float]
    rows: Array
    positions: NDArray[np.int64]
    rare_rows: int | None
    auxiliary: bool = False

    @property
    def n(self) -> int:
        """Labelled rows."""
        return len(self.rows)

    @property
    def value(self) -> float:
        """The main metric."""
        return self.values[self.metric]


def score(target: Target, answer: Answer, encoded: Tensor | Ragged) -> TaskScore:
    """All metrics of a task over its labelled rows.

    :param answer: what ``target.answer(outputs)`` gave for N rows.
    :param encoded: their labels ``(N, W)``, NaN where missing, or a list per row.
    :raises polytask.errors.UserError: answer and labels have different numbers of rows.
    """
    given, truth, positions = labelled_rows(target, answer, encoded)
    task, main = target.task, target.task.main_metric
    return TaskScore(
        task=task.name,
        metric=main.name,
        higher_is_better=main.higher_is_better,
        best=main.best,
        values={metric.name: metric.value(given, truth) for metric in task.metrics()},
        rows=main.rows(given, truth) if len(truth) else np.empty(0),
        positions=positions,
        rare_rows=_rare_rows(given, truth),
        auxiliary=task.role == "auxiliary",
    )


def labelled_rows(target: Target, answer: Answer, encoded: Tensor | Ragged) -> tuple[Answer, Array, NDArray[np.int64]]:
    """Answer and truth restricted to the labelled rows, and the places of those rows."""
    positions = np.flatnonzero(labelled(encoded).cpu().numpy())
    for key, values in answer.items():
        if len(values) != len(encoded):
            raise UserError(
                f"expected answers for {len(encoded)} rows, found {len(values)} for {key!r}.",
                where=f"task {target.task.name!r}",
            )
    truth = target.truth(encoded[labelled(encoded)])
    return {key: values[positions] for key, values in answer.items()}, truth, positions


def pair(baseline: Sequence[TaskScore], contender: Sequence[TaskScore], *, margin: float | None = None) -> TaskScores:
    """The scores of two methods on one task, one :class:`TaskScore` per seed, ready for a verdict.

    :param margin: differences smaller than this, in units of the metric, do not matter; named before looking.
    :raises polytask.errors.UserError: no seed on a side, or scores of different tasks, metrics or rows.
    """
    if not baseline or not contender:
        raise UserError("expected at least one seed on both sides.")
    first = baseline[0]
    for other in (*baseline, *contender):
        if (other.task, other.metric) != (first.task, first.metric):
            raise UserError(
                f"expected scores of {first.task!r} by {first.metric!r}, found {other.task!r} by {other.metric!r}."
            )
        if not np.array_equal(other.positions, first.positions):
            raise UserError("expected scores on the same labelled test rows.", where=f"task {first.task!r}")
    return TaskScores(
        baseline=np.stack([seed.rows for seed in baseline]),
        contender=np.stack([seed.rows for seed in contender]),
        higher_is_better=first.higher_is_better,
        best=first.best,
        rare_rows=first.rare_rows,
        margin=margin,
        auxiliary=first.auxiliary,
        positions=first.positions,
    )


def _rare_rows(answer: Answer, truth: Array) -> int | None:
    """Rows of the rarer class, where there is one probability per row (a binary task)."""
    if "probability" not in answer:
        return None
    positive = int(np.count_nonzero(truth[:, 0] == 1))
    return min(positive, len(truth) - positive)
