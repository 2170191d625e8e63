"""How the gradients of the tasks lay to each other: the share of conflicts over the epochs, and the mean cosines."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from math import isfinite
from statistics import fmean
from typing import Any

from polytask.record.compare import CompareRecord, ContenderFacts, GradientTrace
from polytask.report.charts.chart import (
    FOCUS,
    MUTED,
    Chart,
    altair,
    colours,
    dashes,
    finish,
    focus,
    names,
    plain,
    rows_of,
)

NUMBERED = 12
"""More tasks than this get no numbers in their cells."""
CELL, SMALL_CELL, LABELS = 30, 14, 110
"""Heights in pixels: of a cell with a number, of one without, and of the names below."""
APART, TOGETHER = "point apart", "agree"


def conflicts(record: CompareRecord) -> Chart | None:
    """Share of pairs of tasks with opposed gradients by epoch, mean over seeds; None when nobody looked."""
    at: dict[tuple[str, int], list[float]] = defaultdict(list)
    for trace in record.gradients:
        for epoch, share in zip(trace.epochs, trace.conflicts, strict=False):
            if isfinite(share):
                at[trace.contender, epoch].append(share)
    if not at:
        return None
    rows: list[dict[str, Any]] = [
        {"c": c, "e": epoch, "s": plain(fmean(shares), 4)} for (c, epoch), shares in at.items()
    ]
    order = names(record)
    rows.sort(key=lambda row: (order.index(row["c"]), row["e"]))
    titles = {c.name: c.title for c in record.contenders}
    ends = {row["c"]: row["s"] for row in rows}
    text = ", ".join(f"{titles[name]} {100 * share:.0f} %" for name, share in ends.items())
    return Chart("Conflicts", _lines(order), {"rows": rows}, f"Share of conflicting pairs in the last epoch: {text}.")


def cosines(record: CompareRecord, contender: ContenderFacts) -> Chart | None:
    """Mean cosine of every pair of tasks over a run and its seeds, as a heat map; None when nobody looked."""
    rows, tasks = cosine_rows([trace for trace in record.gradients if trace.contender == contender.name])
    if not rows:
        return None
    below = sorted((row["v"], row["a"], row["b"]) for row in rows if row["v"] < 0 and row["i"] < row["j"])
    worst = ", ".join(f"{a} and {b} {value:.2f}" for value, a, b in below[:3])
    text = f"Mean cosines of task gradients; most opposed: {worst}." if below else "No pair of tasks points apart."
    height = (CELL if len(tasks) <= NUMBERED else SMALL_CELL) * len(tasks)
    return Chart(contender.title, finish(_heat(tasks, rows), height), {"rows": rows}, text)


def cosine_rows(traces: list[GradientTrace]) -> tuple[list[dict[str, Any]], list[str]]:
    """Mean cosines over the seeds, both ways round, and the tasks in order.

    A row: ``{"a": task, "b": task, "i": place of a, "j": place of b, "v": cosine, "s": sign in words, "m": size}``.
    """
    if not traces:
        return [], []
    tasks = list(traces[0].tasks)
    rows = []
    for place, (a, b) in enumerate(combinations(range(len(tasks)), 2)):
        known = [trace.cosines[place] for trace in traces if isfinite(trace.cosines[place])]
        if known:
            value = plain(fmean(known), 3) or 0.0
            sign = {"v": value, "s": APART if value < 0 else TOGETHER, "m": abs(value)}
            rows += [{"a": tasks[i], "b": tasks[j], "i": i, "j": j, **sign} for i, j in ((a, b), (b, a))]
    return sorted(rows, key=lambda row: (row["i"], row["j"])), tasks


def _lines(contenders: tuple[str, ...]) -> dict[str, Any]:
    alt = altair()
    base = rows_of("rows")
    x = alt.X(
        "e:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(tickMinStep=1, tickCount=8, grid=False),
    )
    y = alt.Y("s:Q", title="pairs in conflict", axis=alt.Axis(tickCount=5, format=".0%"), scale=alt.Scale(domainMin=0))
    colour = alt.Color("c:N", scale=colours(contenders), legend=None)
    dash = alt.StrokeDash("c:N", scale=dashes(contenders), legend=None)
    seen = alt.condition(FOCUS, alt.value(1), alt.value(0.08))
    tips = [
        alt.Tooltip("c:N", title="contender"),
        alt.Tooltip("e:Q", title="epoch"),
        alt.Tooltip("s:Q", title="pairs in conflict", format=".1%"),
    ]
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash, opacity=seen)
    touch = base.mark_point(size=60, filled=True).encode(x=x, y=y, color=colour, opacity=alt.value(0), tooltip=tips)
    return finish(alt.layer(line, touch).add_params(focus()), 220)


def _heat(tasks: list[str], rows: list[dict[str, Any]]) -> Any:
    """Colour is the sign and strength the size, so that the map reads on light and on dark paper."""
    alt = altair()
    most = max((row["m"] for row in rows), default=0.0) or 1.0
    x = alt.X(
        "b:N", sort=tasks, title=None, scale=alt.Scale(domain=tasks), axis=alt.Axis(labelAngle=-90, labelLimit=LABELS)
    )
    y = alt.Y("a:N", sort=tasks, title=None, scale=alt.Scale(domain=tasks), axis=alt.Axis(labelLimit=LABELS))
    scale = alt.Scale(domain=[APART, TOGETHER], range=["var(--hurt)", "var(--equal)"])
    colour = alt.Color("s:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="square"))
    strength = alt.Opacity("m:Q", scale=alt.Scale(domain=[0, most], range=[0.06, 0.9]), legend=None)
    tips = [alt.Tooltip("a:N", title="task"), alt.Tooltip("b:N", title="with"), alt.Tooltip("v:Q", title="cosine")]
    cells = rows_of("rows").mark_rect().encode(x=x, y=y, color=colour, opacity=strength, tooltip=tips)
    if len(tasks) > NUMBERED:
        return cells
    ink = alt.condition(f"datum.m > {0.75 * most}", alt.value("var(--paper)"), alt.value("var(--ink)"))
    numbers = rows_of("rows").mark_text(fontSize=10, color=MUTED)
    return alt.layer(cells, numbers.encode(x=x, y=y, text=alt.Text("v:Q", format=".2f"), color=ink))
