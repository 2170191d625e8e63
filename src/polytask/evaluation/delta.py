"""Delta-m: the mean relative gain over tasks, and its interval.

Published tables disagree about the sign. Here :func:`delta_m` is positive = better; part of the literature prints
the same number with the opposite sign and a down arrow, which is :func:`delta_m_lower_is_better`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polytask.errors import UserError
from polytask.evaluation.contract import Interval, Rule, TaskScores
from polytask.evaluation.verdict import verdicts

Array = NDArray[np.float64]


def delta_m(baseline: ArrayLike, contender: ArrayLike, higher_is_better: ArrayLike) -> float:
    """Mean relative gain of the contender in percent, **positive = better**.

    ``(100/T) sum_t g_t (M_t - B_t) / |B_t|`` with g = +1 where higher is better, -1 elsewhere.

    :param baseline: ``(T,)`` metrics B of single-task training. :param contender: ``(T,)`` metrics M.
    :param higher_is_better: ``(T,)`` directions.
    :raises polytask.errors.UserError: a baseline of zero, or shapes that do not fit.

    >>> round(delta_m([43.37, 52.24, 22.4], [44.64, 43.32, 24.48], [True, False, False]), 4)
    3.5725

    Maninis, Radosavovic, Kokkinos. Attentive Single-Tasking of Multiple Tasks. CVPR 2019.
    """
    base, other = np.asarray(baseline, np.float64), np.asarray(contender, np.float64)
    sign = np.where(np.asarray(higher_is_better, bool), 1.0, -1.0)
    if not base.shape == other.shape == sign.shape or base.ndim != 1 or base.size == 0:
        raise UserError(f"expected three lists of one length, found {base.shape}, {other.shape} and {sign.shape}.")
    if (base == 0).any():
        raise UserError(
            "a relative gain over a baseline of 0 is not defined.",
            where=f"task {int(np.argmax(base == 0))}",
            do="Leave the task out, or use a metric whose baseline is not 0.",
        )
    return float(100 * np.mean(sign * (other - base) / np.abs(base)))


def delta_m_lower_is_better(baseline: ArrayLike, contender: ArrayLike, higher_is_better: ArrayLike) -> float:
    """The convention with the opposite sign, **negative = better**: ``-delta_m(...)``.

    Liu, Liu, Jin, Stone, Liu. Conflict-Averse Gradient Descent for Multi-task Learning. NeurIPS 2021.
    """
    return -delta_m(baseline, contender, higher_is_better)


@dataclass(frozen=True)
class DeltaM:
    """Mean relative gain over tasks, in percent of the baseline's error; **positive = contender better**.

    :param interval: 95 %, over seeds and test rows; NaN at one seed.
    :param p: two-sided; outside the Holm family of the tasks.
    :param rows_only: over test rows alone: about these trained models only.
    :param tasks: the tasks it averages over. :param rows: test rows with at least one of their labels.
    """

    value: float
    interval: Interval
    se: float
    p: float
    rows_only: Interval
    tasks: tuple[str, ...]
    seeds: tuple[int, int]
    rows: int
    note: str


def delta_m_interval(tasks: Mapping[str, TaskScores], *, rule: Rule | None = None) -> DeltaM:
    """Delta-m on ratio-scale errors with its interval, by the procedure of the verdicts.

    Each task's error is ``|metric - best|`` (1 - AUC, the loss itself), so gains are comparable whatever the
    metric. Every test row of the union gets one composite score, with m_ts the error of seed s on task t,
    n_t its labelled rows and mean A_t the baseline's error::

        A*_si = (1/T) sum_t [m_ts + 1(i labelled) (N/n_t) (A_tsi - m_ts)] / |mean A_t|      (same for B)

    and the two sets of composite scores are compared as one task. That counts missing labels, and seeds of a
    multi-task model that are shared by its tasks, as they are. Auxiliary tasks are left out.

    :param tasks: scores with ``best`` and, where tasks have different labelled rows, ``positions``.
    :raises polytask.errors.UserError: no primary task, a metric without ratio-scale error, a baseline error of 0,
        different numbers of seeds, or missing positions.
    """
    chosen = {name: scores for name, scores in tasks.items() if not scores.auxiliary}
    errors = {name: _errors(name, scores) for name, scores in chosen.items()}
    _check(errors)
    places = _places(errors)
    count = len(np.unique(np.concatenate(list(places.values()))))
    size = {name: float(np.mean(scores.baseline)) for name, scores in errors.items()}
    baseline = _composite([(e.baseline / size[t], places[t]) for t, e in errors.items()], count)
    contender = _composite([(e.contender / size[t], places[t]) for t, e in errors.items()], count)
    verdict = verdicts({"delta_m": TaskScores(baseline, contender, higher_is_better=False)}, rule=rule)["delta_m"]
    return DeltaM(
        value=100 * verdict.estimate,
        interval=verdict.interval.scaled(100),
        se=100 * verdict.se,
        p=verdict.p,
        rows_only=verdict.rows_only.scaled(100),
        tasks=tuple(chosen),
        seeds=verdict.seeds,
        rows=count,
        note=verdict.note,
    )


def _errors(task: str, scores: TaskScores) -> TaskScores:
    """The same scores as errors: 0 is perfect, lower is better."""
    if scores.best is None:
        raise UserError(
            "delta-m needs a metric with a best value.", where=f"task {task!r}", do="Choose another metric."
        )
    sign, best = scores.sign, scores.best
    found = replace(
        scores, baseline=sign * (best - scores.baseline), contender=sign * (best - scores.contender), best=0.0
    )
    if scores.rows == 0 or np.mean(found.baseline) == 0:
        raise UserError("the baseline has no error, so a relative gain is not defined.", where=f"task {task!r}")
    return found


def _check(errors: Mapping[str, TaskScores]) -> None:
    if not errors:
        raise UserError("delta-m needs at least one primary task.")
    if len({scores.seeds for scores in errors.values()}) > 1:
        found = {name: scores.seeds for name, scores in errors.items()}
        raise UserError(f"delta-m needs the same seeds for every task, found {found}.")


def _places(errors: Mapping[str, TaskScores]) -> dict[str, NDArray[np.int64]]:
    """Columns of each task's rows in the union of test rows."""
    given = [scores.positions for scores in errors.values()]
    if any(positions is None for positions in given):
        if len({scores.rows for scores in errors.values()}) > 1:
            raise UserError("delta-m needs the positions of the labelled rows where tasks have different ones.")
        return {name: np.arange(scores.rows) for name, scores in errors.items()}
    known = {name: np.asarray(scores.positions, np.int64) for name, scores in errors.items()}
    union = np.unique(np.concatenate(list(known.values())))
    return {name: np.searchsorted(union, positions) for name, positions in known.items()}


def _composite(tasks: Sequence[tuple[Array, NDArray[np.int64]]], count: int) -> Array:
    """Composite scores ``(S, N)`` of relative errors ``(S, n_t)`` at columns ``(n_t,)``."""
    total = np.zeros((len(tasks[0][0]), count))
    for scores, places in tasks:
        mean = scores.mean(1, keepdims=True)
        total += mean
        total[:, places] += (count / scores.shape[1]) * (scores - mean)
    return total / len(tasks)
