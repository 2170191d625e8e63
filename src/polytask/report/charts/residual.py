"""Residuals of a regression: mean error in bins of the prediction."""

from __future__ import annotations

from functools import cache
from typing import Any

from polytask.record.compare import CompareRecord
from polytask.report.charts.chart import FOCUS, MUTED, Chart, altair, colours, finish, focus, names, rows_of
from polytask.report.charts.diagnostics import TIPS, diagnostic_rows

HEIGHT = 220


def residual(record: CompareRecord, task: str) -> Chart | None:
    """Mean of truth minus prediction, with its band; a line on zero is right on average everywhere."""
    rows = diagnostic_rows(record, task, "residual")
    if not rows:
        return None
    titles = {c.name: c.title for c in record.contenders}
    worst: dict[str, float] = {}
    for row in rows:
        worst[row["c"]] = max(worst.get(row["c"], 0.0), abs(row["y"]))
    text = "; ".join(f"{titles.get(name, name)}: largest mean error {gap:.3g}" for name, gap in worst.items())
    return Chart(task, _shape(names(record)), {"rows": rows, "zero": [{"y": 0}]}, f"Residuals of {task}. {text}.")


@cache
def _shape(contenders: tuple[str, ...]) -> dict[str, Any]:
    alt = altair()
    x = alt.X("x:Q", title="predicted", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("y:Q", title=None, axis=alt.Axis(tickCount=4))
    colour = alt.Color("c:N", scale=colours(contenders), legend=None)

    seen = alt.condition(FOCUS, alt.value(1), alt.value(0.06))
    chosen = alt.condition("datum.c == focus", alt.value(0.2), alt.value(0))  # bands of all at once hide each other

    base = rows_of("rows")
    tips = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    zero = rows_of("zero").mark_rule(color=MUTED, strokeDash=[3, 3]).encode(y="y:Q")
    banded = base.transform_filter("isValid(datum.low)")
    chart = alt.layer(
        zero,
        banded.mark_area().encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=colour, opacity=chosen),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, opacity=seen),
        base.mark_point(size=36, filled=True).encode(x=x, y=y, color=colour, opacity=seen, tooltip=tips),
    )
    return finish(chart.add_params(focus()), HEIGHT)
