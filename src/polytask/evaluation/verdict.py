"""Verdicts per task: did the contender help, did it hurt, or is there no evidence?

A verdict speaks about training runs of the two methods on this training sample, scored on new rows from the
population of the test rows. Random are the seeds (initialisation, order, validation split) and the test rows;
fixed is the training sample. With D the oriented difference (positive = contender better), Vs its seed variance
on nu degrees of freedom and Vr its test-row variance (:mod:`polytask.evaluation.variance`)::

    p(x)     = P(|sqrt(Vs) T_nu + sqrt(Vr) Z| >= |x|),   p = p(D)
    interval = D +- q,  p(q) = alpha;   simultaneous: p(q) = alpha / (tests in the family)

and the word follows from Holm's correction over the family. The interval of one task and Holm can disagree: the
verdict is Holm's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError, did_you_mean
from polytask.evaluation.contract import Components, Interval, Rule, TaskScores, Verdict, Word
from polytask.evaluation.variance import Parts, Pooled, parts, pool
from polytask.maths.holm import holm
from polytask.maths.tails import quantile, two_sided_p

STATEMENT = (
    "Verdicts speak about training runs of the two methods on this training sample, scored on new rows from the "
    "population of the test rows. They say nothing about other training samples."
)

_NAN = float("nan")
_NORMAL_80 = 0.8416  # standard normal quantile of the 80 % power behind the minimum detectable effect


def verdicts(tasks: Mapping[str, TaskScores], *, rule: Rule | None = None) -> dict[str, Verdict]:
    """A verdict for every task of one comparison; Holm over its judged tasks.

    :param tasks: task name -> row scores of both sides.
    :param rule: level and demands.
    """
    return family_verdicts({"contender": tasks}, rule=rule)["contender"]


def family_verdicts(
    contenders: Mapping[str, Mapping[str, TaskScores]], *, primary: str | None = None, rule: Rule | None = None
) -> dict[str, dict[str, Verdict]]:
    """Verdicts of several contenders against one baseline.

    All tests reported together are one family for Holm. A contender named as primary beforehand has a family of
    its own; the others are then secondary and stay corrected over all tests.

    :param contenders: contender -> task -> row scores.
    :param primary: the contender whose verdicts were declared, before looking, to be the ones that count.
    :raises polytask.errors.UserError: ``primary`` is no contender.
    """
    rule = rule or Rule()
    if primary is not None and primary not in contenders:
        raise UserError(f"the primary contender {primary!r} is unknown.", do=did_you_mean(primary, contenders))
    measured = {name: _measure(tasks, rule) for name, tasks in contenders.items()}
    tested = {(c, t): m.p_tested for c, ts in measured.items() for t, m in ts.items() if m.judged}
    together = _holm(tested)
    own = _holm({key: p for key, p in tested.items() if key[0] == primary})
    out: dict[str, dict[str, Verdict]] = {}
    for name, tasks in measured.items():
        family = own if name == primary else together
        secondary = primary is not None and name != primary
        out[name] = {
            task: _verdict(
                task, m, p_holm=family.get((name, task), _NAN), family=len(family), secondary=secondary, rule=rule
            )
            for task, m in tasks.items()
        }
    return out


@dataclass(frozen=True)
class _Measured:
    """A task before the correction. ``reason``: why no verdict is possible, or empty."""

    scores: TaskScores
    reason: str
    raw: Parts | None = None
    pooled: Pooled | None = None

    @property
    def judged(self) -> bool:
        return not self.reason

    @property
    def p(self) -> float:
        if self.raw is None or self.pooled is None:
            return _NAN
        return float(two_sided_p(self.raw.estimate, self.pooled.seeds, self.pooled.rows, self.pooled.nu))

    @property
    def deterministic(self) -> bool:
        return self.pooled is not None and bool(self.pooled.se == 0)

    @property
    def p_tested(self) -> float:
        """p as the family sees it: a difference without any variance proves nothing."""
        return 1.0 if self.deterministic else self.p


def _reason(scores: TaskScores, rule: Rule) -> str:
    """Why a task can get no verdict, whatever its scores say; empty when it can."""
    if min(scores.seeds) < 2:
        return "one seed: verdict withheld; the interval speaks about these two trained models only"
    if scores.rows < rule.minimum_rows:
        return f"too few test rows: {scores.rows} labelled, {rule.minimum_rows} needed"
    if scores.rare_rows is not None and scores.rare_rows < rule.minimum_rare_rows:
        return f"too few test rows of the rarer class: {scores.rare_rows}, {rule.minimum_rare_rows} needed"
    if not _finite(scores):
        return "the metric is undefined or not finite for a seed"
    return "auxiliary task" if scores.auxiliary else ""


def _finite(scores: TaskScores) -> bool:
    return bool(np.isfinite(scores.baseline).all() and np.isfinite(scores.contender).all())


def _measure(tasks: Mapping[str, TaskScores], rule: Rule) -> dict[str, _Measured]:
    """Parts of every task; judged tasks are pooled as one family, each of the others stands alone."""
    reasons = {name: _reason(scores, rule) for name, scores in tasks.items()}
    raw = {name: _parts(scores) for name, scores in tasks.items()}
    judged = {name: part for name, part in raw.items() if part is not None and not reasons[name]}
    pooled = _pool(judged, rule)
    for name, part in raw.items():
        if part is not None and reasons[name]:
            pooled |= _pool({name: part}, rule)
    return {name: _Measured(tasks[name], reasons[name], raw[name], pooled.get(name)) for name in tasks}


def _parts(scores: TaskScores) -> Parts | None:
    if min(scores.seeds) < 2 or scores.rows < 2 or not _finite(scores):
        return None
    return parts(scores.sign * scores.baseline, scores.sign * scores.contender)


def _pool(family: Mapping[str, Parts], rule: Rule) -> dict[str, Pooled]:
    """:func:`pool` over named tasks."""
    if not family:
        return {}
    fields = ("estimate", "seeds", "noise", "rows", "df")
    stacked = Parts(*(np.array([getattr(part, name) for part in family.values()]) for name in fields))
    shared = pool(stacked, rule.prior_df)
    names = ("ratio", "mean_ratio", "prior_df", "nu", "seeds", "rows")
    return {task: Pooled(*(getattr(shared, name)[i] for name in names)) for i, task in enumerate(family)}


def _holm(p: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return dict(zip(p, holm(list(p.values())).tolist(), strict=True))


def _verdict(task: str, m: _Measured, *, p_holm: float, family: int, secondary: bool, rule: Rule) -> Verdict:
    """Everything that is reported about one task."""
    scores = m.scores
    mean_a, mean_b = _mean(scores.baseline), _mean(scores.contender)
    estimate = scores.sign * (mean_b - mean_a)
    half = _half_width(m, rule.alpha)
    shared = _half_width(m, rule.alpha / family) if m.judged else _NAN
    se = _NAN if m.pooled is None else float(m.pooled.se)
    interval, simultaneous = _around(estimate, half), _around(estimate, shared)
    rows_only = _around(estimate, _rows_only(scores, rule.alpha))
    mde = shared + _NORMAL_80 * se
    percent = _percent(scores, mean_a)
    return Verdict(
        task=task,
        verdict=_word(m, estimate, p_holm, simultaneous, rule),
        baseline=mean_a,
        contender=mean_b,
        estimate=estimate,
        se=se,
        p=m.p,
        p_holm=p_holm,
        interval=interval,
        simultaneous=simultaneous,
        mde=mde,
        rows_only=rows_only,
        relative_gain=percent * estimate,
        relative_interval=interval.scaled(percent),
        relative_mde=percent * mde,
        relative_rows_only=rows_only.scaled(percent),
        seeds=scores.seeds,
        rows=scores.rows,
        family=family if m.judged else 0,
        weak=m.judged and min(scores.seeds) == 2,
        note=_note(m, estimate, secondary),
        components=_components(m),
    )


def _word(m: _Measured, estimate: float, p_holm: float, simultaneous: Interval, rule: Rule) -> Word:
    if not m.judged or (m.deterministic and estimate != 0):
        return "withheld"
    if p_holm < rule.alpha:
        return "helped" if estimate > 0 else "hurt"
    margin = m.scores.margin
    if margin is not None and -margin < simultaneous.low and simultaneous.high < margin:
        return "practically equal"
    return "no evidence"


def _note(m: _Measured, estimate: float, secondary: bool) -> str:
    if m.reason:
        return m.reason
    notes = []
    if m.deterministic:
        notes.append("deterministic, identical rows" + ("" if estimate == 0 else ": no verdict"))
    elif m.pooled is not None and m.pooled.seeds == 0:
        notes.append("deterministic: the seeds do not differ, only test rows count")
    if min(m.scores.seeds) == 2:
        notes.append("weak: two seeds")
    if secondary:
        notes.append("secondary: another contender was named primary")
    return "; ".join(notes)


def _components(m: _Measured) -> Components:
    if m.raw is None or m.pooled is None:
        return Components()
    return Components(
        Vs_raw=float(m.raw.seeds),
        Ve=float(m.raw.noise),
        Vs=float(m.pooled.seeds),
        Vr=float(m.pooled.rows),
        F=float(m.pooled.ratio),
        Fbar=float(m.pooled.mean_ratio),
        d0=float(m.pooled.prior_df),
        nu=float(m.pooled.nu),
    )


def _mean(scores: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):  # inf - inf: the note says that the metric is not finite
        return float(scores.mean()) if scores.size else _NAN


def _half_width(m: _Measured, level: float) -> float:
    if m.pooled is None:
        return _NAN
    return float(quantile(level, m.pooled.seeds, m.pooled.rows, m.pooled.nu))


def _rows_only(scores: TaskScores, alpha: float) -> float:
    """Half width ``z sqrt(var_i(Bbar_i - Abar_i) / n)`` over test rows, the trained models held fixed."""
    if scores.rows < 2 or not _finite(scores):
        return _NAN
    difference = scores.contender.mean(0) - scores.baseline.mean(0)
    return NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt(difference.var(ddof=1) / scores.rows)


def _around(centre: float, half: float) -> Interval:
    return Interval(centre - half, centre + half)


def _percent(scores: TaskScores, baseline: float) -> float:
    """Percent of the baseline's error per unit of the metric; NaN without a ratio-scale error."""
    error = _NAN if scores.best is None else abs(baseline - scores.best)
    return 100 / error if error > 0 else _NAN
