"""The page of one training run: learning curves, weights, and what was kept."""

from __future__ import annotations

import json
from math import isfinite, nan
from typing import Any

from polytask.errors import plural
from polytask.record.compare import CompareRecord, ContenderFacts, Curve, DataFacts, TaskFacts, WeightTrace
from polytask.record.run import RunRecord
from polytask.record.traces import gradient_trace
from polytask.report.charts.curves import curves
from polytask.report.charts.gradients import conflicts, cosines
from polytask.report.charts.weights import weights
from polytask.report.comparison import SHOWN, place
from polytask.report.html import Gallery, page
from polytask.report.phrases import ABSENT, count, duration, number, storage
from polytask.report.sharing import Diagram, diagram

MODEL = "model"


def render_training(run: RunRecord) -> str:
    """One training run as one page.

    :raises MissingExtraError: the extra ``[report]`` is not installed.
    """
    record = as_comparison(run)
    gallery = Gallery()
    drawn = place((curves(record, task) for task in record.tasks), gallery)
    weighed = place([weights(record, record.contenders[0])], gallery)
    opposed = place([conflicts(record), cosines(record, record.contenders[0])], gallery)
    skipped = {task: sum(epoch.skipped.get(task, 0) for epoch in run.history) for task in tasks(run)}
    return page(
        "training.html.j2",
        gallery,
        kicker="Training run",
        title=", ".join(tasks(run)[:6]) + (", ..." if len(tasks(run)) > 6 else "") or "Training run",
        byline=[
            plural(len(tasks(run)), "task"),
            plural(len(run.history), "epoch"),
            f"{count(run.parameters)} parameters",
            duration(run.seconds) if run.seconds else "",
            f"seed {run.seed}",
        ],
        run=run,
        version=run.polytask,
        rows=[_row(run, task) for task in tasks(run)],
        curves=drawn,
        weights=weighed,
        gradients=opposed,
        sharing=_sharing(run),
        skipped={task: steps for task, steps in skipped.items() if steps},
        config=json.dumps(run.config, indent=2, ensure_ascii=False),
        sizes=[storage(source.size) if source.size else "" for source in run.sources],
        shown=SHOWN,
    )


def tasks(run: RunRecord) -> list[str]:
    """The tasks that were trained, in order."""
    return list(dict.fromkeys(task for epoch in run.history for task in (*epoch.train, *epoch.validation)))


def as_comparison(run: RunRecord) -> CompareRecord:
    """The history of a run in the form that charts read: one contender, one seed."""
    epochs = tuple(epoch.epoch for epoch in run.history)
    names = tasks(run)
    gradients = gradient_trace(MODEL, run.seed, run.history)
    return CompareRecord(
        title="",
        created="",
        statement="",
        data=DataFacts((), run.train_rows, run.validation_rows, 0),
        tasks=tuple(TaskFacts(name, "", "", True, 0, 0) for name in names),
        seeds=(run.seed,),
        baseline=MODEL,
        contenders=(ContenderFacts(MODEL, MODEL, "multi"),),
        scores=(),
        curves=tuple(
            Curve(
                MODEL,
                name,
                run.seed,
                epochs,
                tuple(epoch.train.get(name, nan) for epoch in run.history),
                tuple(epoch.validation.get(name, nan) for epoch in run.history),
                best_epoch=run.best_epoch_per_task.get(name),
            )
            for name in names
        ),
        weights=(
            WeightTrace(
                MODEL,
                run.seed,
                epochs,
                tuple(names),
                tuple(tuple(epoch.weights.get(name, nan) for name in names) for epoch in run.history),
            ),
        ),
        gradients=() if gradients is None else (gradients,),
    )


def _sharing(run: RunRecord) -> Diagram | None:
    """Who shares what, with the gates as they were at the best epoch."""
    if run.layout is None:
        return None
    best = next((e.diagnostics for e in run.history if e.epoch == run.best_epoch), {})
    return diagram(run.layout.with_gates(best), MODEL)


def _row(run: RunRecord, task: str) -> dict[str, Any]:
    """The task at its best epoch (of the whole run where it has none of its own)."""
    best = run.best_epoch_per_task.get(task) or run.best_epoch
    epoch = next((e for e in run.history if e.epoch == best), run.history[-1])
    gain = epoch.gains.get(task, nan)
    return {
        "task": task,
        "best": str(best) if best else ABSENT,
        "train": number(epoch.train.get(task, nan), 4),
        "validation": number(epoch.validation.get(task, nan), 4),
        "metric": number(epoch.metric.get(task, nan), 4),
        "gain": f"{100 * gain:+.1f} %" if isfinite(gain) else ABSENT,
    }
