"""The weights that a balancer gave the tasks over the epochs."""

from __future__ import annotations

from collections import defaultdict
from math import isfinite
from statistics import fmean
from typing import Any

from polytask.record.compare import CompareRecord, ContenderFacts, WeightTrace
from polytask.report.charts.chart import Chart, altair, finish, plain, rows_of

LINES = 9
"""More tasks than this are drawn as a heat map."""
COLOURS = [f"var(--t{i})" for i in range(LINES)]


def weights(record: CompareRecord, contender: ContenderFacts) -> Chart | None:
    """Mean weight per task and epoch over the seeds, in units of an equal share; None when it never moves."""
    traces = [trace for trace in record.weights if trace.contender == contender.name]
    rows, tasks = weight_rows(traces)
    if not rows or all(abs(row["w"] - rows[0]["w"]) < 1e-9 for row in rows):
        return None
    last = max(row["e"] for row in rows)
    ends = sorted(((row["w"], row["t"]) for row in rows if row["e"] == last), reverse=True)
    text = f"Weights in the last epoch: {', '.join(f'{task} {weight:.3g}' for weight, task in ends)}."
    if len(tasks) <= LINES:
        return Chart(contender.title, finish(_lines(tasks), 260), {"rows": rows}, text)
    return Chart(contender.title, finish(_heat(tasks), 14 * len(tasks)), {"rows": rows}, text)


def weight_rows(traces: list[WeightTrace]) -> tuple[list[dict[str, Any]], list[str]]:
    """Means over the seeds as rows ``{"t": task, "e": epoch, "w": weight}``, and the tasks in order."""
    at: dict[tuple[str, int], list[float]] = defaultdict(list)
    for trace in traces:
        for epoch, values in zip(trace.epochs, trace.values, strict=False):
            total = sum(value for value in values if isfinite(value))
            unit = total / max(1, sum(1 for value in values if isfinite(value)))
            for task, value in zip(trace.tasks, values, strict=False):
                if isfinite(value) and unit > 0:
                    at[task, epoch].append(value / unit)
    tasks = list(dict.fromkeys(task for trace in traces for task in trace.tasks))
    rows = [{"t": task, "e": epoch, "w": plain(fmean(values), 4)} for (task, epoch), values in at.items()]
    return sorted(rows, key=lambda row: (tasks.index(row["t"]), row["e"])), tasks


def _lines(tasks: list[str]) -> Any:
    alt = altair()
    base = rows_of("rows")
    columns = alt.ExprRef("max(1, floor(width / 140))")
    legend = alt.Legend(title=None, orient="bottom", columns=columns, symbolType="stroke", labelLimit=130)
    colour = alt.Color("t:N", scale=alt.Scale(domain=tasks, range=COLOURS[: len(tasks)]), legend=legend)
    x = alt.X(
        "e:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(tickMinStep=1, tickCount=8, grid=False),
    )
    y = alt.Y("w:Q", title="weight (1 = equal share)", axis=alt.Axis(tickCount=5))
    tips = [alt.Tooltip("t:N", title="task"), alt.Tooltip("e:Q", title="epoch"), alt.Tooltip("w:Q", title="weight")]
    pick = alt.selection_point(name="task", fields=["t"], bind="legend", on="click")
    seen = alt.condition(pick, alt.value(1), alt.value(0.1))
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, opacity=seen).add_params(pick)
    touch = base.mark_point(size=80, filled=True, opacity=0).encode(x=x, y=y, tooltip=tips)
    return alt.layer(line, touch)


def _heat(tasks: list[str]) -> Any:
    alt = altair()
    tips = [alt.Tooltip("t:N", title="task"), alt.Tooltip("e:Q", title="epoch"), alt.Tooltip("w:Q", title="weight")]
    scale = alt.Scale(scheme="blueorange", domainMid=1)
    return (
        rows_of("rows")
        .mark_rect()
        .encode(
            x=alt.X("e:O", title="epoch", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=alt.Y("t:N", sort=tasks, title=None, axis=alt.Axis(labelLimit=120)),
            color=alt.Color("w:Q", scale=scale, legend=alt.Legend(title="weight", orient="top")),
            tooltip=tips,
        )
    )
