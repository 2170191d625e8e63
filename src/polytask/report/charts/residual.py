"""Residuals of a regression: mean error in bins of the prediction."""

from __future__ import annotations

from typing import Any

from polytask.record.compare import CompareRecord, TaskFacts
from polytask.report.charts.chart import FOCUS, MUTED, Chart, altair, contender_colours, finish, focus
from polytask.report.charts.diagnostics import TIPS, diagnostic_rows

HEIGHT = 220


def residual(record: CompareRecord, task: TaskFacts) -> Chart | None:
    """Mean of truth minus prediction, with its band; a line on zero is right on average everywhere."""
    rows = diagnostic_rows(record, task.name, "residual")
    if not rows:
        return None
    titles = {c.name: c.title for c in record.contenders}
    worst: dict[str, float] = {}
    for row in rows:
        worst[row["c"]] = max(worst.get(row["c"], 0.0), abs(row["y"]))
    text = "; ".join(f"{titles.get(name, name)}: largest mean error {gap:.3g}" for name, gap in worst.items())
    return Chart(task.name, finish(_draw(record, rows), HEIGHT), f"Residuals of {task.name}. {text}.")


def _draw(record: CompareRecord, rows: list[dict[str, Any]]) -> Any:
    alt = altair()
    x = alt.X("x:Q", title="predicted", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("y:Q", title=None, axis=alt.Axis(tickCount=4))
    colour = alt.Color("c:N", scale=contender_colours(record), legend=None)

    def seen(opacity: float) -> Any:
        return alt.condition(FOCUS, alt.value(opacity), alt.value(0.04))

    base = alt.Chart(alt.Data(values=rows))
    tips = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=MUTED, strokeDash=[3, 3]).encode(y=alt.datum(0))
    banded = base.transform_filter("isValid(datum.low)")
    return alt.layer(
        zero,
        banded.mark_area().encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=colour, opacity=seen(0.1)),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, opacity=seen(1)),
        base.mark_point(size=36, filled=True).encode(x=x, y=y, color=colour, opacity=seen(1), tooltip=tips),
    ).add_params(focus())
