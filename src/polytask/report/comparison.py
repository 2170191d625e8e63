"""The page of a comparison: what the template is given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from polytask.errors import plural
from polytask.record.compare import CompareRecord, ContenderFacts, TaskFacts
from polytask.report.charts.calibration import calibration
from polytask.report.charts.chart import Chart
from polytask.report.charts.costs import costs
from polytask.report.charts.curves import curves
from polytask.report.charts.forest import domain, forest
from polytask.report.charts.gradients import conflicts, cosines
from polytask.report.charts.residual import residual
from polytask.report.charts.weights import weight_rows, weights
from polytask.report.html import Gallery, page
from polytask.report.phrases import decimals, interval, number, probability, share
from polytask.report.reading import (
    asides,
    baseline,
    challengers,
    companions,
    finding,
    mean_gain,
    price,
    primary_tasks,
    score,
    tally,
)
from polytask.report.sharing import diagram
from polytask.report.tables import VerdictRow, cost_rows, note_lines, verdict_rows

SHOWN = 12
"""Small charts beyond these are folded away."""
INLINE = 2
"""Notes that more tasks than this share stand below the table, not in its rows."""


@dataclass(frozen=True)
class Placed:
    """A chart with its number on the page."""

    number: int
    chart: Chart


@dataclass(frozen=True)
class Rival:
    """Everything the page says about one contender against the baseline."""

    facts: ContenderFacts
    place: int
    words: list[tuple[str, int]]
    finding: str
    price: str
    gain: str
    rank: str
    forest: Placed | None
    rows: list[VerdictRow]
    notes: list[str]


def render_comparison(record: CompareRecord) -> str:
    """One comparison as one page.

    :raises MissingExtraError: the extra ``[report]`` is not installed.
    """
    gallery = Gallery()
    rivals = [_rival(record, contender, gallery) for contender in challengers(record)]
    weighed = [(contender, weights(record, contender)) for contender in record.contenders]
    drawn = place([costs(record)], gallery)
    shared = [diagram(c.layout, c.title) for c in record.contenders if c.layout is not None]
    return page(
        "comparison.html.j2",
        gallery,
        record=record,
        kicker="Comparison",
        title=record.title,
        byline=_byline(record),
        baseline=baseline(record),
        rivals=rivals,
        companions=[_rival(record, contender, None) for contender in companions(record)],
        asides=asides(record),
        words=list(dict.fromkeys(["helped", "hurt", *(word for rival in rivals for word, _ in rival.words)])),
        clipped=_clipped(record),
        curves=place((curves(record, task) for task in record.tasks), gallery),
        curve_rows=_curve_rows(record),
        weights=place((chart for _, chart in weighed), gallery),
        constant=[c.title for c, chart in weighed if chart is None and _weighed(record, c.name)],
        conflicts=place([conflicts(record)], gallery),
        cosines=place((cosines(record, contender) for contender in record.contenders), gallery),
        calibration=place((calibration(record, name) for name in _pictured(record, "calibration")), gallery),
        residual=place((residual(record, name) for name in _pictured(record, "residual")), gallery),
        costs=drawn[0] if drawn else None,
        cost_rows=cost_rows(record),
        score_rows=_score_rows(record),
        task_rows=[_task_row(task) for task in record.tasks],
        configs={c.name: json.dumps(c.config, indent=2, ensure_ascii=False) for c in record.contenders},
        splits=_split_rows(record),
        sharing=shared,
        sharing_kinds={kind for one in shared for kind in one.kinds},
        places={c.name: i % 6 for i, c in enumerate(record.contenders)},
        titles={c.name: c.title for c in record.contenders},
        shown=SHOWN,
    )


def place(charts: Iterable[Chart | None], gallery: Gallery) -> list[Placed]:
    """Keep the charts that exist, in order, with their numbers on the page."""
    return [Placed(gallery.place(chart), chart) for chart in charts if chart is not None]


def _rival(record: CompareRecord, contender: ContenderFacts, gallery: Gallery | None) -> Rival:
    """Without a gallery the contender gets no chart."""
    chart = forest(record, contender) if gallery is not None else None
    rows = verdict_rows(record, contender)
    shared = Counter(row.note for row in rows)
    rank = record.mean_rank.get(contender.name, float("nan"))
    return Rival(
        facts=contender,
        place=[c.name for c in record.contenders].index(contender.name) % 6,
        words=list(tally(record, contender.name).items()),
        finding=finding(record, contender),
        price=price(record, contender),
        gain=mean_gain(record, contender),
        rank=number(rank, 2) if isfinite(rank) else "",
        forest=Placed(gallery.place(chart), chart) if chart and gallery is not None else None,
        rows=[replace(row, note="") if shared[row.note] > INLINE else row for row in rows],
        notes=note_lines(rows, most=INLINE),
    )


def _weighed(record: CompareRecord, contender: str) -> bool:
    """Whether any weight of a contender is known."""
    return bool(weight_rows([trace for trace in record.weights if trace.contender == contender])[0])


def _pictured(record: CompareRecord, kind: str) -> list[str]:
    """What there are pictures of the errors of: tasks, or ``"task: column"`` where a task has several."""
    return list(dict.fromkeys(d.task for d in record.diagnostics if d.kind == kind))


def _byline(record: CompareRecord) -> list[str]:
    facts = [
        plural(len(primary_tasks(record)), "task"),
        plural(len(record.contenders), "contender"),
        plural(len(record.seeds), "seed"),
        f"{record.data.test:,} test rows",
        record.created.replace("T", " ")[:16],
    ]
    return [fact for fact in facts if fact]


def _clipped(record: CompareRecord) -> bool:
    """Whether some interval goes beyond the axis of the forest plots."""
    scale = domain(record)
    judged = {contender.name for contender in challengers(record)}
    ends = [end for v in record.verdicts if v.contender in judged for end in v.relative_interval if isfinite(end)]
    return scale is not None and any(not scale[0] <= end <= scale[1] for end in ends)


def _curve_rows(record: CompareRecord) -> list[tuple[str, str, str, str, str]]:
    """(task, contender, seeds, epochs, best epochs) of every group of curves."""
    rows = []
    for task in record.tasks:
        for contender in record.contenders:
            own = [c for c in record.curves if c.task == task.name and c.contender == contender.name and c.epochs]
            best = sorted(c.best_epoch for c in own if c.best_epoch is not None)
            if own:
                last = sorted(c.epochs[-1] for c in own)
                rows.append((task.name, contender.title, str(len(own)), _range(last), _range(best)))
    return rows


def _range(values: list[int]) -> str:
    if not values:
        return ""
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _score_rows(record: CompareRecord) -> list[tuple[str, str, list[str]]]:
    """(task, metric, mean ± sd per contender) for every metric that was kept."""
    rows = []
    for task in record.tasks:
        metrics = dict.fromkeys(m for s in record.scores if s.task == task.name for m in s.metrics)
        for metric in metrics:
            found = [score(record, c.name, task.name, metric) for c in record.contenders]
            spreads = [s.sd for s in found if isfinite(s.sd) and s.sd > 0]
            places = decimals(min(spreads)) if spreads else 4
            rows.append((task.name, metric, [s.text(places) for s in found]))
    return rows


def _task_row(task: TaskFacts) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": f"{task.metric} {'↑' if task.higher_is_better else '↓'}",
        "role": task.role,
        "train": f"{task.labelled_train:,}",
        "test": f"{task.labelled_test:,}",
        "missing": share(task.missing_rate),
        "rare": "" if task.rare_rows is None else f"{task.rare_rows:,}",
    }


def _split_rows(record: CompareRecord) -> list[dict[str, str]]:
    titles = {c.name: c.title for c in record.contenders}
    return [
        {
            "contender": titles.get(s.contender, s.contender),
            "task": s.task,
            "splits": str(s.splits),
            "gain": f"{number(s.relative_gain, 2, sign=True)} %",
            "interval": interval(s.relative_interval, 2),
            "p": probability(s.p_holm),
            "verdict": s.verdict,
        }
        for s in record.splits
    ]
