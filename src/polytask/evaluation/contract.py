"""What goes into a verdict and what comes out: row scores of two sides, the rule, and the verdict itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.evaluation.variance import PRIOR_DF

Array = NDArray[np.float64]

Word = Literal["helped", "hurt", "no evidence", "practically equal", "withheld"]

_NAN = float("nan")


class Interval(NamedTuple):
    """Both ends of an interval; NaN where it is not known."""

    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """Both ends times a positive factor."""
        return Interval(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Rule:
    """What a verdict demands. The defaults are the calibrated procedure (``benchmarks/verdicts.py``).

    :param alpha: chance of any false verdict in a family.
    :param prior_df: most degrees of freedom that the family's average may lend to a task.
    :param minimum_rows: fewest labelled test rows; calibrated from 200 on.
    :param minimum_rare_rows: fewest labelled test rows of the rarer class.
    """

    alpha: float = 0.05
    prior_df: float = PRIOR_DF
    minimum_rows: int = 200
    minimum_rare_rows: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UserError(f"expected alpha between 0 and 1, found {self.alpha}.", where="verdict rule")
        if self.prior_df < 0:
            raise UserError(f"expected prior_df of at least 0, found {self.prior_df}.", where="verdict rule")


@dataclass(frozen=True)
class TaskScores:
    """Row scores of the two sides on the same labelled test rows of one task.

    :param baseline: ``(S_A, n)``, one row per seed; the mean of a row is that seed's metric.
    :param contender: ``(S_B, n)``, same test rows in the same order. Seeds need not be paired.
    :param higher_is_better: direction of the metric.
    :param best: value of a perfect model, for gains relative to the baseline's error ``|value - best|``.
    :param rare_rows: labelled test rows of the rarer class, for tasks with classes.
    :param margin: differences smaller than this, in units of the metric, do not matter to the user; named before
        looking. Without it nothing is ever called "practically equal".
    :param auxiliary: the task only helps training: it gets numbers, but no verdict and no place in the family.
    :param positions: ``(n,)`` places of the labelled rows among all N test rows; needed by delta-m only.
    """

    baseline: Array
    contender: Array
    higher_is_better: bool
    best: float | None = None
    rare_rows: int | None = None
    margin: float | None = None
    auxiliary: bool = False
    positions: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for side in ("baseline", "contender"):
            scores = np.asarray(getattr(self, side), np.float64)
            if scores.ndim != 2 or len(scores) == 0:
                raise UserError(f"expected {side} scores of shape (seeds, rows), found {scores.shape}.")
            object.__setattr__(self, side, scores)
        if self.baseline.shape[1] != self.contender.shape[1]:
            raise UserError(
                f"expected both sides on the same test rows, found {self.baseline.shape[1]} and "
                f"{self.contender.shape[1]}."
            )
        if self.positions is not None and np.shape(self.positions) != (self.rows,):
            raise UserError(f"expected {self.rows} positions, one per test row, found {np.shape(self.positions)}.")
        if self.margin is not None and not self.margin > 0:
            raise UserError(f"expected a margin above 0, found {self.margin}.")

    @property
    def seeds(self) -> tuple[int, int]:
        """Seeds of the baseline and of the contender."""
        return len(self.baseline), len(self.contender)

    @property
    def rows(self) -> int:
        """Labelled test rows n."""
        return int(self.baseline.shape[1])

    @property
    def sign(self) -> float:
        """g: +1 where higher is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0


@dataclass(frozen=True)
class Components:
    """What the verdict was computed from; NaN where it was not.

    :param Vs_raw: observed seed variance of D. :param Ve: its floor, independent row noise.
    :param Vs: seed variance used. :param Vr: test-row variance. :param nu: degrees of freedom of Vs.
    :param F: Vs_raw / Ve. :param Fbar: mean of F over the family. :param d0: degrees of freedom lent by the family.
    """

    Vs_raw: float = _NAN
    Ve: float = _NAN
    Vs: float = _NAN
    Vr: float = _NAN
    F: float = _NAN
    Fbar: float = _NAN
    d0: float = _NAN
    nu: float = _NAN


@dataclass(frozen=True)
class Verdict:
    """One task of one comparison. Differences are in units of the metric, **positive = contender better**.

    :param verdict: ``"withheld"`` where the question cannot be answered; the note says why.
    :param baseline: mean metric over the seeds. :param contender: the same.
    :param estimate: D. :param se: its standard error.
    :param p: for this task alone. :param p_holm: corrected over the family; the verdict follows from this one.
    :param interval: at level 1 - alpha for this task alone (95 %).
    :param simultaneous: shares alpha over the family.
    :param mde: minimum detectable effect: a difference of this size would have been called with 80 % chance.
    :param rows_only: 1 - alpha interval over test rows alone: about these trained models only, not the methods.
    :param relative_gain: D in percent of the baseline's error; NaN without a ratio-scale error. Likewise
        ``relative_interval``, ``relative_mde`` and ``relative_rows_only``.
    :param family: tests that Holm's correction ran over.
    :param weak: two seeds only: calibrated, but with about two thirds of the power at three.
    """

    task: str
    verdict: Word
    baseline: float
    contender: float
    estimate: float
    se: float
    p: float
    p_holm: float
    interval: Interval
    simultaneous: Interval
    mde: float
    rows_only: Interval
    relative_gain: float
    relative_interval: Interval
    relative_mde: float
    relative_rows_only: Interval
    seeds: tuple[int, int]
    rows: int
    family: int
    weak: bool
    note: str
    components: Components
