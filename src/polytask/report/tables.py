"""The tables of a report as rows of text, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from polytask.record.compare import CompareRecord, ContenderFacts, CostFacts, TaskFacts, VerdictFacts
from polytask.report.phrases import (
    ABSENT,
    count,
    decimals,
    duration,
    interval,
    listing,
    number,
    probability,
    ratio,
    storage,
)
from polytask.report.reading import cost_of, score, verdict_of


@dataclass(frozen=True)
class VerdictRow:
    """One task of one contender, ready to print; the minimum detectable effect only where there is no evidence."""

    task: str
    metric: str
    baseline: str
    value: str
    value_sd: str
    gain: str
    interval: str
    relative: str
    relative_interval: str
    rows_only: str
    p: str
    p_holm: str
    verdict: str
    mde: str
    relative_mde: str
    note: str


def verdict_rows(record: CompareRecord, contender: ContenderFacts) -> list[VerdictRow]:
    """A row per task that the contender was compared on, in the order of the tasks."""
    found = ((task, verdict_of(record, contender.name, task.name)) for task in record.tasks)
    return [_verdict_row(record, task, verdict) for task, verdict in found if verdict is not None]


def _verdict_row(record: CompareRecord, task: TaskFacts, v: VerdictFacts) -> VerdictRow:
    shown = v.interval if isfinite(_half(v.interval)) else v.rows_only  # one seed: the note says what it is about
    places = decimals(_half(shown) if isfinite(_half(shown)) else abs(v.estimate))
    percents = max(1, decimals(_half(v.relative_interval), most=2)) if isfinite(_half(v.relative_interval)) else 1
    called = v.verdict != "no evidence"
    role = "auxiliary" if task.role == "auxiliary" else ""
    weak = "weak: two seeds" if v.weak and not v.note else ""
    return VerdictRow(
        task=task.name,
        metric=f"{v.metric} {'↑' if task.higher_is_better else '↓'}" + (f" ({task.unit})" if task.unit else ""),
        baseline=score(record, record.baseline, task.name, v.metric).text(places),
        value=number(score(record, v.contender, task.name, v.metric).mean, places),
        value_sd=score(record, v.contender, task.name, v.metric).text(places),
        gain=number(v.estimate, places, sign=True),
        interval=interval(shown, places),
        relative=f"{number(v.relative_gain, percents, sign=True)} %" if isfinite(v.relative_gain) else ABSENT,
        relative_interval=interval(v.relative_interval, percents),
        rows_only=interval(v.rows_only, places),
        p=probability(v.p),
        p_holm=probability(v.p_holm),
        verdict=v.verdict,
        mde="" if called or not isfinite(v.mde) else number(v.mde, places),
        relative_mde="" if called or not isfinite(v.relative_mde) else f"{number(v.relative_mde, percents)} %",
        note="; ".join(filter(None, (role, v.note, weak))),
    )


def note_lines(rows: list[VerdictRow], *, most: int = 0) -> list[str]:
    """Every note once, with the tasks it is about.

    :param most: leave out notes that only so many tasks have.
    """
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, []).append(row.task)
    return [
        f"{'All tasks' if len(tasks) == len(rows) > 1 else listing(tasks, most=4)}: {note.rstrip('.')}."
        for note, tasks in notes.items()
        if len(tasks) > most
    ]


def _half(bounds: tuple[float, float]) -> float:
    return (bounds[1] - bounds[0]) / 2


@dataclass(frozen=True)
class CostRow:
    """One quantity: the text per contender, with the ratio to the baseline (empty for the baseline itself)."""

    quantity: str
    cells: tuple[tuple[str, str], ...]


QUANTITIES: tuple[tuple[str, Callable[[CostFacts], float], Callable[[float], str]], ...] = (
    ("models", lambda c: c.models, lambda v: number(v, 0)),
    ("parameters", lambda c: c.parameters, count),
    ("training time", lambda c: c.training_seconds, duration),
    ("training steps", lambda c: c.steps, lambda v: number(v, 0)),
    ("predict 1 row", lambda c: c.latency_1_ms, lambda v: duration(v / 1000)),
    ("predict 1,024 rows", lambda c: c.latency_1024_ms, lambda v: duration(v / 1000)),
    ("size on disk", lambda c: c.artefact_bytes, storage),
    ("training memory", lambda c: c.training_memory_bytes, storage),
)
"""What a contender costs: (name, how to read it, how to write it)."""


def cost_rows(record: CompareRecord) -> list[CostRow]:
    """A row per quantity that was measured for any contender; cells in the order of ``record.contenders``."""
    costs = [cost_of(record, contender.name) for contender in record.contenders]
    reference = cost_of(record, record.baseline)
    rows = []
    for quantity, read, write in QUANTITIES:
        numbers = [read(cost) if cost else float("nan") for cost in costs]
        if not any(isfinite(n) for n in numbers):
            continue
        base = read(reference) if reference else float("nan")
        ratios = [
            "" if contender.name == record.baseline else ratio(n, base)
            for contender, n in zip(record.contenders, numbers, strict=True)
        ]
        rows.append(CostRow(quantity, tuple(zip(map(write, numbers), ratios, strict=True))))
    return rows
