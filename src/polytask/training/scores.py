"""How well a model does on a table: every metric of every task."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from torch import Tensor

from polytask.batch import Ragged
from polytask.errors import UnknownNameError, did_you_mean
from polytask.tasks.task import Target, labelled


@dataclass(frozen=True)
class TaskScores:
    """The metrics of one task.

    :param rows: labelled rows that they were computed on.
    :param main: name of the task's main metric.
    :param values: metric -> value; NaN where it is undefined (no labelled row, one class only).
    :param unseen: labels that training never saw, with how often they occur; they count as missing.
    """

    rows: int
    main: str
    values: dict[str, float]
    higher_is_better: dict[str, bool]
    role: str = "primary"
    unseen: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        if metric not in self.values:
            raise UnknownNameError(f"{metric!r} is no metric of this task.", do=did_you_mean(metric, self.values))
        return self.values[metric]

    @property
    def value(self) -> float:
        """The main metric."""
        return self.values[self.main]


@dataclass(frozen=True)
class Scores:
    """All metrics of all tasks: ``scores["churn"]["auc"]``; printed, a table."""

    tasks: dict[str, TaskScores]

    def __getitem__(self, task: str) -> TaskScores:
        if task not in self.tasks:
            raise UnknownNameError(f"there is no task {task!r}.", do=did_you_mean(task, self.tasks))
        return self.tasks[task]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is None."""
        plain = asdict(self)["tasks"]
        for scores in plain.values():
            scores["values"] = {name: None if math.isnan(v) else v for name, v in scores["values"].items()}
        return {"tasks": plain}

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> Scores:
        """The scores behind :meth:`to_json`."""
        tasks = {}
        for name, plain in mapping["tasks"].items():
            values = {metric: math.nan if v is None else float(v) for metric, v in plain["values"].items()}
            tasks[name] = TaskScores(**{**plain, "values": values})
        return cls(tasks)

    def __str__(self) -> str:
        grid = Grid(box=None, pad_edge=False)
        grid.add_column("task")
        grid.add_column("rows", justify="right")
        grid.add_column("metric")
        grid.add_column("value", justify="right")
        grid.add_column("others", overflow="fold")
        for name, scores in self.tasks.items():
            title = name if scores.role == "primary" else f"{name} ({scores.role})"
            others = ", ".join(f"{m} {_number(v)}" for m, v in scores.values.items() if m != scores.main)
            arrow = "↑" if scores.higher_is_better[scores.main] else "↓"
            grid.add_row(title, str(scores.rows), f"{scores.main} {arrow}", _number(scores.value), others)
        text = io.StringIO()
        Console(file=text, width=110, color_system=None).print(grid)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def score(
    targets: Sequence[Target],
    outputs: Mapping[str, Tensor | Ragged],
    encoded: Mapping[str, Tensor | Ragged],
    unseen: Mapping[str, dict[str, int]] | None = None,
) -> Scores:
    """Every metric of every task.

    :param outputs: task -> ``(N, K)``, or a list per row.
    :param encoded: task -> ``(N, W)``, NaN where missing, or a list per row.
    """
    found = {}
    for target in targets:
        name, task = target.task.name, target.task
        rows = labelled(encoded[name])
        answer, truth = target.answer(outputs[name][rows]), target.truth(encoded[name][rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an undefined metric is NaN, and the table shows it
            values = {metric.name: metric.value(answer, truth) for metric in task.metrics()}
        directions = {metric.name: metric.higher_is_better for metric in task.metrics()}
        missing = (unseen or {}).get(name, {})
        found[name] = TaskScores(int(rows.sum()), task.main_metric.name, values, directions, task.role, missing)
    return Scores(found)


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4g}"
