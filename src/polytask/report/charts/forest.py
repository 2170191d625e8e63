"""Forest plot of the verdicts of one contender: relative gain per task, with its intervals."""

from __future__ import annotations

from math import isfinite
from statistics import median
from typing import Any

from polytask.record.compare import CompareRecord, ContenderFacts, VerdictFacts
from polytask.report.charts.chart import INK, MUTED, Chart, altair, finish, plain, rows_of
from polytask.report.phrases import interval, number, probability
from polytask.report.reading import WORDS, challengers, finding, verdict_of

STEP = 30
MEAN_ROW = "mean over tasks (Δm)"
COLOURS = ["var(--helped)", "var(--hurt)", "var(--neutral)", "var(--equal)", "var(--withheld)"]
SHAPES = ["triangle-up", "triangle-down", "circle", "square", "cross"]


def domain(record: CompareRecord) -> tuple[float, float] | None:
    """One scale for all contenders: every gain, and every interval that is not far wider than most; None if no gain."""
    judged = {contender.name for contender in challengers(record)}
    verdicts = [v for v in record.verdicts if v.contender in judged]
    gains = [v.relative_gain for v in verdicts if isfinite(v.relative_gain)]
    if not gains:
        return None
    halves = [b - a for a, b in (v.relative_interval for v in verdicts) if isfinite(b - a)]
    most = 2 * median(halves) if halves else 1.0
    ends = [
        (max(v.relative_interval[0], v.relative_gain - most), min(v.relative_interval[1], v.relative_gain + most))
        for v in verdicts
        if isfinite(v.relative_gain) and isfinite(sum(v.relative_interval))
    ]
    low, high = min([0.0, *gains, *(a for a, _ in ends)]), max([0.0, *gains, *(b for _, b in ends)])
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def forest(record: CompareRecord, contender: ContenderFacts) -> Chart | None:
    """The relative gain of each task, in percent of the baseline's error; None when no task has one."""
    scale = domain(record)
    found = [(task.name, verdict_of(record, contender.name, task.name)) for task in record.tasks]
    rows = [_row(name, v) for name, v in found if v is not None and isfinite(v.relative_gain)]
    if scale is None or not rows:
        return None
    deltas = [d for d in record.delta_m if d.contender == contender.name and isfinite(d.value)]
    mean = [
        {
            "task": MEAN_ROW,
            "gain": plain(d.value),
            "low": plain(d.interval[0]),
            "high": plain(d.interval[1]),
            "is": "mean",
            "says": f"{number(d.value, 2, sign=True)} % {interval(d.interval, 2)}",
        }
        for d in deltas
    ]
    order = [row["task"] for row in (*rows, *mean)]
    tables = {"rows": rows, "mean": mean, "zero": [{"low": 0}]}
    height = STEP * len(order)
    text = f"Forest plot of relative gains. {finding(record, contender)}"
    return Chart(contender.title, finish(_draw(order, scale), height), tables, text)


def _row(name: str, v: VerdictFacts) -> dict[str, Any]:
    return {
        "task": name,
        "gain": plain(v.relative_gain),
        "low": plain(v.relative_interval[0]),
        "high": plain(v.relative_interval[1]),
        "rows_low": plain(v.relative_rows_only[0]),
        "rows_high": plain(v.relative_rows_only[1]),
        "is": v.verdict,
        "says": f"{number(v.relative_gain, 2, sign=True)} % {interval(v.relative_interval, 2)}",
        "rows": f"{interval(v.relative_rows_only, 2)} %",
        "p": probability(v.p_holm),
        "mde": f"{number(v.relative_mde, 2)} %",
    }


def _draw(order: list[str], scale: tuple[float, float]) -> Any:
    alt = altair()
    words = alt.Scale(domain=list(WORDS), range=COLOURS)
    tips = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    y = alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=150, domain=False, ticks=False))
    axis = alt.Axis(title="gain, % of the error (right of 0 = better)", tickCount=6, grid=True)
    x = alt.X("low:Q", scale=alt.Scale(domain=list(scale), nice=False), axis=axis)
    base = rows_of("rows")
    zero = rows_of("zero").mark_rule(color=INK, strokeWidth=1).encode(x=x)
    thin = base.mark_rule(color=MUTED, strokeWidth=1.5, strokeDash=[2, 2], yOffset=8, clip=True)
    bar = base.mark_rule(strokeWidth=3, clip=True, strokeCap="round")
    dot = base.mark_point(size=90, filled=True, opacity=1, clip=True)
    layers = [
        zero,
        thin.encode(x=alt.X("rows_low:Q"), x2="rows_high:Q", y=y, tooltip=tips),
        bar.encode(x=x, x2="high:Q", y=y, color=alt.Color("is:N", scale=words, legend=None), tooltip=tips),
        dot.encode(
            x="gain:Q",
            y=y,
            color=alt.Color("is:N", scale=words, legend=None),
            shape=alt.Shape("is:N", scale=alt.Scale(domain=list(WORDS), range=SHAPES), legend=None),
            tooltip=tips,
        ),
    ]
    tip = [alt.Tooltip("says:N", title="Δm, 95 %")]
    summary = rows_of("mean").mark_rule(strokeWidth=3, color=INK, clip=True)
    diamond = rows_of("mean").mark_point(shape="diamond", size=140, filled=True, opacity=1, color=INK, clip=True)
    layers += [summary.encode(x=x, x2="high:Q", y=y, tooltip=tip), diamond.encode(x="gain:Q", y=y, tooltip=tip)]
    return alt.layer(*layers)


TIPS = {
    "task": "task",
    "is": "verdict",
    "says": "gain, 95 %",
    "rows": "these two trained models only",
    "p": "p after Holm",
    "mde": "detectable",
}
