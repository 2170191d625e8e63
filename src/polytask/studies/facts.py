"""From results to the record: every number that the report shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from polytask.errors import UserError
from polytask.evaluation.contract import TaskScores, Verdict
from polytask.evaluation.delta import delta_m_interval
from polytask.evaluation.diagnostics import diagnostics
from polytask.evaluation.ranks import mean_rank
from polytask.evaluation.scores import TaskScore, pair
from polytask.evaluation.verdict import family_verdicts, verdicts
from polytask.record.compare import (
    ContenderFacts,
    CostFacts,
    Curve,
    DeltaFacts,
    Diagnostic,
    GradientTrace,
    ScoreFacts,
    SkippedSteps,
    TaskFacts,
    VerdictFacts,
    WeightTrace,
)
from polytask.record.layout import LayoutFacts
from polytask.record.traces import gradient_trace
from polytask.studies.execute import Results, latencies_ms
from polytask.studies.problem import Problem
from polytask.tasks import TASKS
from polytask.tasks.task import Array, Target

Paired = dict[str, dict[str, TaskScores]]
"""Contender -> task -> row scores of both sides."""

UNJUDGED = "shown beside its cost, outside the family: no verdict"


def task_facts(problem: Problem, results: Results) -> tuple[TaskFacts, ...]:
    """One entry per task: kind, metric, labels."""
    tables = [table for table in (problem.train, problem.validation) if table is not None]
    counts = [table.labelled_counts() for table in tables]
    rows = sum(map(len, tables)) + len(problem.test)
    first = {task: score for c in results.contenders for task, score in results.runs[c.name][0].test.items()}
    return tuple(
        _task_facts(t, first[t.task.name], sum(count[t.task.name] for count in counts), rows) for t in problem.targets
    )


def _task_facts(target: Target, first: TaskScore, train: int, rows: int) -> TaskFacts:
    task = target.task
    return TaskFacts(
        name=task.name,
        kind=TASKS.name_of(task),
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        labelled_train=train,
        labelled_test=first.n,
        role=task.role,
        missing_rate=1 - (train + first.n) / rows,
        rare_rows=first.rare_rows,
    )


def contender_facts(results: Results, primary: str) -> tuple[ContenderFacts, ...]:
    """Who is who."""
    return tuple(
        ContenderFacts(
            name=c.name,
            title=c.title,
            kind=c.kind,
            description=c.description,
            config=c.trainer.describe(),
            primary=c.name == primary,
            layout=_layout(results, c.name),
        )
        for c in results.contenders
    )


def _layout(results: Results, contender: str) -> LayoutFacts | None:
    """Of a contender with one network: its parts, and its gates averaged over the seeds."""
    models = [run.models for run in results.runs[contender]]
    first = models[0][0].layout
    if first is None or len(models[0]) > 1:
        return None
    return first.mean_gates([own[0].layout for own in models])


def score_facts(problem: Problem, results: Results) -> tuple[ScoreFacts, ...]:
    """Every metric of every contender on every task, seed by seed."""
    found = []
    for contender in results.contenders:
        for task in results.tasks(contender.name):
            per_seed = results.scores(contender.name, task)
            metrics = {name: tuple(s.values[name] for s in per_seed) for name in per_seed[0].values}
            found.append(ScoreFacts(contender.name, task, metrics))
    return tuple(found)


def paired_scores(
    problem: Problem, results: Results, baseline: str, *, margin: float | None = None, decision: bool = False
) -> Paired:
    """Row scores of each contender beside the baseline's, on the primary tasks.

    :param margin: in percent of the baseline's error. :param decision: on shared validation rows instead of test rows.
    """
    found: Paired = {}
    for contender in results.contenders:
        if contender.name == baseline:
            continue
        found[contender.name] = {}
        for target in problem.primary:
            task, metric = target.task.name, target.task.main_metric
            ours = results.scores(baseline, task, decision=decision)
            error = metric.error(float(np.mean([s.value for s in ours])))
            own_margin = margin / 100 * error if margin is not None and error > 0 else None
            theirs = results.scores(contender.name, task, decision=decision)
            found[contender.name][task] = pair(ours, theirs, margin=own_margin)
    return found


def verdict_facts(problem: Problem, results: Results, paired: Paired, primary: str) -> tuple[VerdictFacts, ...]:
    """Verdicts, Holm-corrected over everything that is reported together.

    All multi-task contenders are one family: they answer one question. Boosted trees answer another one and are a
    family of their own. Contenders that are not judged get their differences and intervals, but no verdict.
    """
    metrics = {target.task.name: target.task.main_metric.name for target in problem.targets}
    judged: dict[str, Paired] = {}
    for contender in results.contenders:
        if contender.judged and contender.name in paired:
            judged.setdefault(contender.kind, {})[contender.name] = paired[contender.name]
    family: dict[str, dict[str, Verdict]] = {}
    for members in judged.values():
        family |= family_verdicts(members, primary=primary if primary in members else None)
    found: list[VerdictFacts] = []
    for name, tasks in paired.items():
        if name in family:
            found += [_verdict(name, metrics[task], verdict) for task, verdict in family[name].items()]
            continue
        for task, verdict in verdicts(tasks).items():
            plain = _verdict(name, metrics[task], verdict)
            found.append(dataclasses.replace(plain, verdict="no verdict", p_holm=math.nan, note=UNJUDGED))
    return tuple(found)


def _verdict(contender: str, metric: str, v: Verdict) -> VerdictFacts:
    return VerdictFacts(
        contender=contender,
        task=v.task,
        metric=metric,
        verdict="no verdict" if v.verdict == "withheld" else v.verdict,
        estimate=v.estimate,
        interval=v.interval,
        simultaneous=v.simultaneous,
        p=v.p,
        p_holm=v.p_holm,
        mde=v.mde,
        relative_gain=v.relative_gain,
        relative_interval=v.relative_interval,
        relative_mde=v.relative_mde,
        rows_only=v.rows_only,
        relative_rows_only=v.relative_rows_only,
        seeds=min(v.seeds),
        rows=v.rows,
        weak=v.weak,
        note=v.note,
    )


def delta_facts(problem: Problem, results: Results, baseline: str) -> tuple[DeltaFacts, ...]:
    """Delta-m of every contender; NaN with the reason where it is not defined."""
    found = []
    for contender in results.contenders:
        if contender.name == baseline:
            continue
        sides = {
            t.task.name: pair(results.scores(baseline, t.task.name), results.scores(contender.name, t.task.name))
            for t in problem.primary
        }
        try:
            delta = delta_m_interval(sides)
        except UserError as error:
            found.append(DeltaFacts(contender.name, math.nan, note=error.what))
            continue
        found.append(DeltaFacts(contender.name, delta.value, delta.interval, delta.p, delta.note))
    return tuple(found)


def rank_facts(problem: Problem, results: Results) -> dict[str, float]:
    """Mean rank of every contender over the primary tasks, by the mean of the main metric; 1 is best."""
    primary = problem.primary
    values = [
        [float(np.mean([s.value for s in results.scores(c.name, t.task.name)])) for t in primary]
        for c in results.contenders
    ]
    usable = np.isfinite(np.array(values)).all(axis=0)
    if not usable.any():
        return {}
    directions = np.array([t.task.main_metric.higher_is_better for t in primary])
    ranks = mean_rank(np.array(values)[:, usable], directions[usable])
    return {c.name: float(rank) for c, rank in zip(results.contenders, ranks, strict=True)}


def cost_facts(problem: Problem, results: Results) -> tuple[CostFacts, ...]:
    """What one seed of each contender costs."""
    found = []
    one, many = (latencies_ms(results, problem.test, rows) for rows in (1, 1024))
    for contender in results.contenders:
        runs = results.runs[contender.name]
        first = runs[0].models
        found.append(
            CostFacts(
                contender=contender.name,
                models=len(first),
                parameters=float(sum(m.parameters for m in first)),
                training_seconds=_mean([sum(m.seconds for m in run.models) for run in runs]),
                steps=_mean([run.steps for run in runs]),
                latency_1_ms=one[contender.name],
                latency_1024_ms=many[contender.name],
                artefact_bytes=float(sum(m.artefact_bytes for m in first)),
                training_memory_bytes=max(m.memory_bytes for m in first),
            )
        )
    return tuple(found)


def curve_facts(results: Results) -> tuple[Curve, ...]:
    """Learning curves of every network."""
    return tuple(
        Curve(
            contender=contender.name,
            task=task,
            seed=run.seed,
            epochs=tuple(e.epoch for e in model.history),
            train_loss=tuple(e.train.get(task, math.nan) for e in model.history),
            validation_loss=tuple(e.validation.get(task, math.nan) for e in model.history),
            validation_metric=tuple(e.metric.get(task, math.nan) for e in model.history),
            best_epoch=model.best_epochs.get(task),
        )
        for contender in results.contenders
        for run in results.runs[contender.name]
        for model in run.models
        if model.history
        for task in model.tasks
    )


def gradient_facts(results: Results) -> tuple[GradientTrace, ...]:
    """How task gradients lay to each other, of every network whose balancer looked at them."""
    traces = (
        gradient_trace(contender.name, run.seed, model.history)
        for contender in results.contenders
        for run in results.runs[contender.name]
        for model in run.models
        if len(model.tasks) > 1
    )
    return tuple(trace for trace in traces if trace is not None)


def weight_facts(results: Results) -> tuple[WeightTrace, ...]:
    """Mean weights per epoch of every network that serves several tasks."""
    return tuple(
        WeightTrace(
            contender=contender.name,
            seed=run.seed,
            epochs=tuple(e.epoch for e in model.history),
            tasks=model.tasks,
            values=tuple(tuple(e.weights.get(task, math.nan) for task in model.tasks) for e in model.history),
        )
        for contender in results.contenders
        for run in results.runs[contender.name]
        for model in run.models
        if len(model.tasks) > 1 and model.history
    )


def skipped_facts(results: Results) -> tuple[SkippedSteps, ...]:
    """Steps that went without a task because its loss was not finite."""
    found = []
    for contender in results.contenders:
        for run in results.runs[contender.name]:
            counts: dict[str, int] = {}
            for model in run.models:
                for epoch in model.history:
                    for task, steps in epoch.skipped.items():
                        counts[task] = counts.get(task, 0) + steps
            found += [SkippedSteps(contender.name, task, run.seed, steps) for task, steps in counts.items() if task]
    return tuple(found)


def diagnostic_facts(problem: Problem, results: Results) -> tuple[Diagnostic, ...]:
    """Calibration or residuals of every contender, over the test rows of all seeds."""
    found = []
    for contender in results.contenders:
        runs = results.runs[contender.name]
        for target in problem.chosen(results.tasks(contender.name)):
            task = target.task.name
            answers = [run.answers[task] for run in runs]
            together = {key: np.concatenate([answer[key] for answer in answers]) for key in answers[0]}
            labels = problem.test.labels(task)
            if not isinstance(labels, Tensor):  # curves are drawn of rows
                continue
            curves = diagnostics(target, together, torch.cat([labels] * len(runs)))
            for column, curve in curves.items():
                found.append(
                    Diagnostic(
                        contender=contender.name,
                        task=task if len(curves) == 1 else f"{task}: {column}",
                        kind=curve.kind,
                        x=curve.x,
                        y=curve.y,
                        n=curve.n,
                        low=curve.low,
                        high=curve.high,
                    )
                )
    return tuple(found)


def row_scores(problem: Problem, results: Results) -> Mapping[str, Array]:
    """``"contender/task"`` -> ``(S, n)`` row scores of the main metric, for anyone who wants to test them again."""
    return {
        f"{c.name}/{t.task.name}": np.stack([s.rows for s in results.scores(c.name, t.task.name)])
        for c in results.contenders
        for t in problem.primary
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
