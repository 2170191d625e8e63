"""Calibration of a classifier: observed share against predicted probability."""

from __future__ import annotations

from functools import cache
from typing import Any

from polytask.record.compare import CompareRecord
from polytask.report.charts.chart import FOCUS, MUTED, Chart, altair, colours, finish, focus, names, rows_of
from polytask.report.charts.diagnostics import TIPS, diagnostic_rows

HEIGHT = 220


def calibration(record: CompareRecord, task: str) -> Chart | None:
    """A line per contender; on the diagonal, predicted probabilities can be taken at their word."""
    rows = diagnostic_rows(record, task, "calibration")
    if not rows:
        return None
    worst: dict[str, float] = {}
    for row in rows:
        worst[row["c"]] = max(worst.get(row["c"], 0.0), abs(row["y"] - row["x"]))
    titles = {c.name: c.title for c in record.contenders}
    text = "; ".join(f"{titles.get(name, name)}: largest gap {gap:.2f}" for name, gap in worst.items())
    top = max(0.1, *(row["x"] for row in rows), *(row["y"] for row in rows))
    ideal = [{"x": 0, "y": 0}, {"x": min(1.0, 1.05 * top), "y": min(1.0, 1.05 * top)}]
    tables = {"rows": rows, "ideal": ideal}
    return Chart(task, _shape(names(record)), tables, f"Calibration of {task}. {text}.")


@cache
def _shape(contenders: tuple[str, ...]) -> dict[str, Any]:
    alt = altair()
    scale = alt.Scale(zero=True, nice=False)
    x = alt.X("x:Q", title="predicted", scale=scale, axis=alt.Axis(format="%", tickCount=4, grid=False))
    y = alt.Y("y:Q", title=None, scale=scale, axis=alt.Axis(format="%", tickCount=4))
    colour = alt.Color("c:N", scale=colours(contenders), legend=None)
    seen = alt.condition(FOCUS, alt.value(1), alt.value(0.06))
    chosen = alt.condition("datum.c == focus", alt.value(0.2), alt.value(0))  # bands of all at once hide each other
    band = rows_of("rows").transform_filter("isValid(datum.low)")
    ideal, base = rows_of("ideal"), rows_of("rows")
    tips = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    chart = alt.layer(
        ideal.mark_line(color=MUTED, strokeWidth=1, strokeDash=[3, 3], clip=True).encode(x=x, y=y),
        band.mark_area(clip=True).encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=colour, opacity=chosen),
        base.mark_line(strokeWidth=2, clip=True).encode(x=x, y=y, color=colour, opacity=seen),
        base.mark_point(size=36, filled=True, clip=True).encode(x=x, y=y, color=colour, opacity=seen, tooltip=tips),
    )
    return finish(chart.add_params(focus()), HEIGHT)
