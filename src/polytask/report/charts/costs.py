"""What each contender costs, as a multiple of the baseline."""

from __future__ import annotations

from math import isfinite
from typing import Any

from polytask.record.compare import CompareRecord
from polytask.report.charts.chart import FOCUS, INK, Chart, altair, colours, finish, focus, names, plain, rows_of
from polytask.report.phrases import times
from polytask.report.reading import baseline, cost_of
from polytask.report.tables import QUANTITIES

STEP = 30


def costs(record: CompareRecord) -> Chart | None:
    """One row per quantity, one dot per contender, on a logarithmic axis; None when nothing can be divided."""
    reference = cost_of(record, record.baseline)
    if reference is None:
        return None
    rows: list[dict[str, Any]] = [
        {"c": contender.name, "who": contender.title, "q": quantity, "r": plain(read(cost) / read(reference), 4)}
        for quantity, read, _ in QUANTITIES
        for contender in record.contenders
        if contender.name != record.baseline and (cost := cost_of(record, contender.name)) is not None
        if isfinite(read(cost)) and read(cost) > 0 and isfinite(read(reference)) and read(reference) > 0
    ]
    if not rows:
        return None
    for row in rows:
        row["says"] = f"×{times(row['r'])}"
    order = list(dict.fromkeys(row["q"] for row in rows))
    text = "; ".join(f"{row['who']}: {row['q']} {row['says']}" for row in rows)
    title = f"Multiple of {baseline(record).title}"
    spec = finish(_draw(names(record), order, [row["r"] for row in rows]), STEP * len(order))
    return Chart(title, spec, {"rows": rows, "one": [{"r": 1}]}, f"Costs as multiples. {text}.")


def _draw(contenders: tuple[str, ...], order: list[str], ratios: list[float]) -> Any:
    alt = altair()
    low, high = min(1.0, *ratios), max(1.0, *ratios)
    scale = alt.Scale(type="log", domain=[low / 1.3, high * 1.3], nice=False)
    axis = alt.Axis(title="multiple of the baseline (left of 1 = cheaper)", tickCount=5, format="~g", grid=False)
    x = alt.X("r:Q", scale=scale, axis=axis)
    y = alt.Y("q:N", sort=order, title=None, axis=alt.Axis(labelLimit=140, domain=False, ticks=False))
    tips = [
        alt.Tooltip("who:N", title="contender"),
        alt.Tooltip("q:N", title="cost"),
        alt.Tooltip("says:N", title="times"),
    ]
    base = rows_of("rows")
    offset = alt.YOffset("c:N", sort=list(contenders), scale=alt.Scale(paddingOuter=1))
    colour = alt.Color("c:N", scale=colours(contenders), legend=None)
    seen = alt.condition(FOCUS, alt.value(1), alt.value(0.1))
    one = rows_of("one").mark_rule(color=INK).encode(x=x)
    dots = base.mark_point(size=110, filled=True).encode(
        x=x, y=y, yOffset=offset, color=colour, opacity=seen, tooltip=tips
    )
    return alt.layer(one, dots).add_params(focus())
