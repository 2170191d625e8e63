"""Learning curves: one small chart per task, with every contender in it."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from math import isfinite
from statistics import fmean
from typing import Any

from polytask.record.compare import CompareRecord, Curve, TaskFacts
from polytask.report.charts.chart import FOCUS, Chart, altair, colours, dashes, finish, focus, names, plain, rows_of

POINTS = 6000
"""About as many points as all the curves of a page may have; longer ones are thinned."""
HEIGHT = 170


def curves(record: CompareRecord, task: TaskFacts) -> Chart | None:
    """Loss over the epochs: validation as a line with the range of the seeds, training dotted; None without curves."""
    own = [curve for curve in record.curves if curve.task == task.name]
    lines = len(record.tasks) * len(record.contenders)
    most = max(12, POINTS // max(1, lines))
    rows = [
        row
        for contender in record.contenders
        for which in ("validation", "training")
        for row in _series([c for c in own if c.contender == contender.name], contender.name, which, most)
    ]
    if not rows:
        return None
    best = [_best(curve) for curve in own]
    tables = {"rows": rows, "best": [row for row in best if row]}
    return Chart(task.name, _shape(names(record)), tables, _text(record, task, rows))


def _series(own: list[Curve], contender: str, which: str, most: int) -> list[dict[str, Any]]:
    """Mean and range over the seeds at every epoch that at least half of them reached."""
    at: dict[int, list[float]] = defaultdict(list)
    for curve in own:
        values = curve.validation_loss if which == "validation" else curve.train_loss
        for epoch, value in zip(curve.epochs, values, strict=False):
            if isfinite(value):
                at[epoch].append(value)
    epochs = sorted(epoch for epoch, values in at.items() if 2 * len(values) >= len(own))
    stride = -(-len(epochs) // most) or 1
    kept = [epoch for i, epoch in enumerate(epochs) if i % stride == 0 or i == len(epochs) - 1]
    return [
        {"c": contender, "e": epoch, "v": plain(fmean(at[epoch]), 4), "s": which}
        | ({"l": plain(min(at[epoch]), 4), "h": plain(max(at[epoch]), 4)} if which == "validation" else {})
        for epoch in kept
    ]


def _best(curve: Curve) -> dict[str, Any] | None:
    """The point of a seed's best epoch."""
    loss = dict(zip(curve.epochs, curve.validation_loss, strict=False)).get(curve.best_epoch or 0)
    if loss is None or not isfinite(loss):
        return None
    return {"c": curve.contender, "e": curve.best_epoch, "v": plain(loss, 4), "s": "best epoch of a seed"}


@cache
def _shape(contenders: tuple[str, ...]) -> dict[str, Any]:
    alt = altair()
    colour = alt.Color("c:N", scale=colours(contenders), legend=None)
    dash = alt.StrokeDash("c:N", scale=dashes(contenders), legend=None)
    x = alt.X(
        "e:Q",
        title="epoch",
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(tickMinStep=1, tickCount=5, grid=False),
    )
    y = alt.Y("v:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=4))
    tips = [alt.Tooltip(f"{key}:{kind}", title=title) for key, kind, title in TIPS]

    def seen(opacity: float) -> Any:
        return alt.condition(FOCUS, alt.value(opacity), alt.value(0.06))

    def chosen(opacity: float) -> Any:
        """Seeds may have validation rows of their own: the ranges of several contenders would hide each other."""
        if len(contenders) == 1:
            return alt.value(opacity)
        return alt.condition("datum.c == focus", alt.value(opacity), alt.value(0))

    base = rows_of("rows")
    validation = base.transform_filter("datum.s == 'validation'")
    training = base.transform_filter("datum.s == 'training'")
    band = validation.mark_area().encode(x=x, y=alt.Y("l:Q", title=None), y2="h:Q", color=colour, opacity=chosen(0.18))
    line = validation.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash, opacity=seen(1))
    dots = training.mark_line(strokeWidth=1, strokeDash=[1, 3]).encode(x=x, y=y, color=colour, opacity=seen(0.9))
    touch = base.mark_point(size=80, filled=True, opacity=0).encode(x=x, y=y, tooltip=tips)
    marks = rows_of("best").mark_point(size=22, filled=True)
    best = marks.encode(x=x, y=y, color=colour, opacity=chosen(0.9), tooltip=tips)
    return finish(alt.layer(band, line, dots, touch, best).add_params(focus()), HEIGHT)


TIPS = (("c", "N", "contender"), ("s", "N", "what"), ("e", "Q", "epoch"), ("v", "Q", "loss"))


def _text(record: CompareRecord, task: TaskFacts, rows: list[dict[str, Any]]) -> str:
    parts = []
    for contender in record.contenders:
        own = [r["v"] for r in rows if r["c"] == contender.name and r["s"] == "validation"]
        if own:
            parts.append(f"{contender.title} from {own[0]} to {own[-1]}, lowest {min(own)}")
    return f"Validation loss of {task.name}: {'; '.join(parts)}." if parts else f"Training loss of {task.name}."
