"""Verdicts over repeated splits: they speak about other training samples too (opt-in, at least 10 splits).

Splits of one data set share rows, so their spread says too little about a fresh sample. Nadeau and Bengio's
correction adds the share of test to training rows. It is conservative and needs many splits: at 5 there is hardly
ever a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polytask.errors import UserError
from polytask.evaluation.contract import Interval, Word
from polytask.maths.holm import holm
from polytask.maths.tails import quantile, two_sided_p

STATEMENT = (
    "Verdicts over training samples: repeated random splits, with the variance corrected for the rows that "
    "splits share (Nadeau and Bengio 2003)."
)

ADVISED_SPLITS = 10


@dataclass(frozen=True)
class SplitScores:
    """The metric of both sides on each of J random splits, averaged over the seeds of a split.

    :param baseline: ``(J,)``. :param contender: ``(J,)``, same splits in the same order.
    :param train_rows: labelled training rows of one split. :param test_rows: labelled test rows.
    :param best: value of a perfect model, for gains relative to the baseline's error.
    """

    baseline: ArrayLike
    contender: ArrayLike
    higher_is_better: bool
    train_rows: int
    test_rows: int
    best: float | None = None


@dataclass(frozen=True)
class SplitVerdict:
    """One task over repeated splits; **positive = contender better**, in units of the metric.

    :param interval: 95 %. :param p_holm: corrected over the tasks; the verdict follows from it.
    :param relative_gain: in percent of the baseline's error, and ``relative_interval``; NaN without one.
    """

    task: str
    verdict: Word
    estimate: float
    se: float
    p: float
    p_holm: float
    interval: Interval
    relative_gain: float
    relative_interval: Interval
    splits: int
    note: str


def split_verdicts(tasks: Mapping[str, SplitScores], *, alpha: float = 0.05) -> dict[str, SplitVerdict]:
    """Corrected t verdicts over J splits, Holm over the tasks.

    With D_r the oriented difference on split r: ``se^2 = (1/J + n_test/n_train) var_r(D_r)``, ``D / se`` on J - 1
    degrees of freedom.

    :raises polytask.errors.UserError: fewer than two splits, unequal lengths, or a value that is not finite.

    Nadeau, Bengio. Inference for the Generalization Error. Machine Learning 2003.
    """
    differences = {name: _differences(name, scores) for name, scores in tasks.items()}
    variances = {name: _variance(differences[name], tasks[name]) for name in tasks}
    p = [
        float(two_sided_p(d.mean(), variances[name], 0.0, len(d) - 1)) if variances[name] > 0 else 1.0
        for name, d in differences.items()
    ]
    corrected = holm(p).tolist()
    return {
        name: _verdict(name, tasks[name], differences[name], variances[name], p=p[i], p_holm=corrected[i], alpha=alpha)
        for i, name in enumerate(tasks)
    }


def _differences(task: str, scores: SplitScores) -> NDArray[np.float64]:
    a, b = np.asarray(scores.baseline, np.float64), np.asarray(scores.contender, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise UserError(
            f"expected at least 2 splits of both sides, found {a.shape} and {b.shape}.",
            where=f"task {task!r}",
            do=f"Ask for {ADVISED_SPLITS} splits or more.",
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("the metric is not finite on some split.", where=f"task {task!r}")
    if scores.train_rows < 1 or scores.test_rows < 1:
        raise UserError("expected labelled training and test rows in every split.", where=f"task {task!r}")
    return b - a if scores.higher_is_better else a - b


def _variance(differences: NDArray[np.float64], scores: SplitScores) -> float:
    return float((1 / len(differences) + scores.test_rows / scores.train_rows) * differences.var(ddof=1))


def _verdict(
    task: str,
    scores: SplitScores,
    differences: NDArray[np.float64],
    variance: float,
    *,
    p: float,
    p_holm: float,
    alpha: float,
) -> SplitVerdict:
    estimate, splits = float(differences.mean()), len(differences)
    half = float(quantile(alpha, variance, 0.0, splits - 1))
    interval = Interval(estimate - half, estimate + half)
    error = (
        float("nan")
        if scores.best is None
        else abs(float(np.asarray(scores.baseline, np.float64).mean()) - scores.best)
    )
    percent = 100 / error if error > 0 else float("nan")
    certain = variance > 0 or estimate == 0
    word: Word = "withheld" if not certain else "no evidence"
    if certain and p_holm < alpha:
        word = "helped" if estimate > 0 else "hurt"
    notes = ["over training samples"]
    if not certain:
        notes.append("the splits do not differ: no verdict")
    if splits < ADVISED_SPLITS:
        notes.append(f"weak: {splits} splits, {ADVISED_SPLITS} advised")
    return SplitVerdict(
        task=task,
        verdict=word,
        estimate=estimate,
        se=float(np.sqrt(variance)),
        p=p,
        p_holm=p_holm,
        interval=interval,
        relative_gain=percent * estimate,
        relative_interval=interval.scaled(percent),
        splits=splits,
        note="; ".join(notes),
    )
