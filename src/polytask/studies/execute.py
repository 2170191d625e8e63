"""Runs every contender with every seed and keeps what the record needs of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch

from polytask.data.table import Table
from polytask.evaluation.scores import TaskScore, score
from polytask.studies.network import Network
from polytask.studies.problem import Problem
from polytask.studies.trainer import Contender, Fitted
from polytask.tasks.task import Array

Say = Callable[[str, int, int], None]
"""Told what runs next, how many models are done, and how many there are."""

ROWS = 8192
"""Rows of one prediction."""


@dataclass(frozen=True)
class SeedRun:
    """One contender trained once.

    :param models: its models, one per group.
    :param test: task -> scores on the test rows. :param decision: the same on shared validation rows, if there are any.
    :param answers: task -> answer on the test rows.
    """

    seed: int
    models: tuple[Fitted, ...]
    test: dict[str, TaskScore]
    decision: dict[str, TaskScore]
    answers: dict[str, dict[str, Array]]

    @property
    def steps(self) -> int:
        """Optimizer steps of all its models."""
        return sum(model.steps for model in self.models)


@dataclass
class Results:
    """Everything that was trained: contender name -> one run per seed."""

    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    runs: dict[str, list[SeedRun]] = field(default_factory=dict)

    def scores(self, contender: str, task: str, *, decision: bool = False) -> list[TaskScore]:
        """Scores of a contender on a task, one per seed."""
        return [(run.decision if decision else run.test)[task] for run in self.runs[contender]]

    def tasks(self, contender: str) -> tuple[str, ...]:
        """The tasks that a contender answers for."""
        return tuple(self.runs[contender][0].test)

    def best(self, contender: str) -> SeedRun:
        """The run whose models did best on their validation rows, on average over models."""
        return max(self.runs[contender], key=lambda run: float(np.mean([model.selected for model in run.models])))


def execute(
    problem: Problem,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    *,
    fraction: float,
    matched_to: str | None = None,
    say: Say | None = None,
) -> Results:
    """Train every contender with every seed.

    :param fraction: share of the training rows that a seed sets aside for validation.
    :param matched_to: the multi-task contender whose steps the contender called ``"matched"`` shares among its models.
    """
    results = Results(tuple(contenders), tuple(seeds), {contender.name: [] for contender in contenders})
    total, done = len(seeds) * sum(len(contender.groups) for contender in contenders), 0
    for seed in seeds:
        part = problem.split(fraction, seed)
        for contender in contenders:
            trainer = contender.trainer
            if contender.name == "matched" and matched_to is not None and isinstance(trainer, Network):
                trainer = trainer.limited(results.runs[matched_to][-1].steps // len(contender.groups))
            models = []
            for group in contender.groups:
                if say is not None:
                    say(f"seed {seed}: {contender.title}" + (f", {group[0]}" if len(group) == 1 else ""), done, total)
                models.append(trainer.fit(problem, group, part, seed))
                done += 1
            results.runs[contender.name].append(_scored(problem, tuple(models), seed))
    if say is not None:
        say("done", done, total)
    return results


def _scored(problem: Problem, models: tuple[Fitted, ...], seed: int) -> SeedRun:
    answers = {task: answer for model in models for task, answer in predict(model, problem.test).items()}
    answered = problem.chosen(answers)
    decision: dict[str, TaskScore] = {}
    if problem.validation is not None:
        held = problem.validation
        said = {task: answer for model in models for task, answer in predict(model, held).items()}
        decision = {t.task.name: score(t, said[t.task.name], held.labels(t.task.name)) for t in answered}
    test = {t.task.name: score(t, answers[t.task.name], problem.test.labels(t.task.name)) for t in answered}
    return SeedRun(seed, models, test, decision, answers)


def predict(model: Fitted, table: Table) -> dict[str, dict[str, Array]]:
    """Answers of a model for all rows of a table."""
    numbers, batches = zip(*table.by_length(ROWS), strict=True)
    parts = [model.answers(batch.inputs) for batch in batches]
    back = torch.cat(numbers).argsort().numpy()
    return {
        task: {key: np.concatenate([part[task][key] for part in parts])[back] for key in parts[0][task]}
        for task in model.tasks
    }


def latencies_ms(results: Results, table: Table, rows: int, *, repeats: int = 15) -> dict[str, float]:
    """Milliseconds to answer for every task: contender -> median over repeats, summed over its models.

    The contenders take turns, so that a slow moment of the machine hits all of them.
    """
    inputs = table.batch(torch.arange(rows) % len(table)).inputs
    models = {contender.name: results.runs[contender.name][0].models for contender in results.contenders}
    times: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(repeats + 1):
        for name, own in models.items():
            begin = time.perf_counter()
            for model in own:
                model.answers(inputs)
            if repeat:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - begin))
    return {name: median(measured) for name, measured in times.items()}
