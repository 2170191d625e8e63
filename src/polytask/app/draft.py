"""A first configuration for a table: kinds of tasks, columns to leave out, and the reasons."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from polytask.app.yaml_file import dumped
from polytask.data.infer import Note, learn
from polytask.data.leakage import check_leakage
from polytask.data.options import SchemaOptions
from polytask.errors import DataError, did_you_mean, plural
from polytask.tasks import TASKS
from polytask.tasks.infer import infer_task
from polytask.tasks.task import Task


@dataclass(frozen=True)
class TaskDraft:
    """A guess.

    :param missing: share of rows without this label, 0 to 1.
    """

    task: Task
    kind: str
    reason: str
    missing: float


@dataclass(frozen=True)
class Draft:
    """What was decided about a table.

    :param excluded: column -> why it cannot be a feature.
    :param dropped: columns that the schema drops by itself.
    :param times: columns of dates.
    """

    tasks: tuple[TaskDraft, ...]
    excluded: Mapping[str, str]
    dropped: tuple[Note, ...]
    times: tuple[str, ...]
    features: int


def draft(frame: pl.DataFrame, targets: Sequence[str], *, where: str) -> Draft:
    """Guess the kind of every target, and find what cannot be a feature.

    :raises polytask.errors.DataError: no such column, or no feature is left.
    :raises polytask.errors.TaskError: a column that cannot be a target.
    """
    for target in targets:
        if target not in frame.columns:
            raise DataError(f"there is no column {target!r}.", where=where, do=did_you_mean(target, frame.columns))
    tasks = tuple(_task(frame[target]) for target in targets)
    excluded: dict[str, str] = {}
    dropped: list[Note] = []
    kept: list[str] = []
    for name in frame.columns:
        if name in targets:
            continue
        try:
            column, note = learn(frame[name], SchemaOptions())
            check_leakage(frame, [name], targets)
        except DataError as error:
            excluded[name] = error.what.rstrip(".")
            continue
        if column is None:
            dropped.append(note)
        else:
            kept.append(name)
    if not kept:
        raise DataError("no column is left to learn from.", where=where, do="Give a table with features.")
    times = tuple(name for name in kept if frame[name].dtype in (pl.Date, pl.Datetime))
    return Draft(tasks, excluded, tuple(dropped), times, len(kept))


def _task(labels: pl.Series) -> TaskDraft:
    found = infer_task(labels, labels.name.replace("/", "_"))
    absent = labels.null_count() + (int(labels.is_nan().sum()) if labels.dtype.is_float() else 0)
    return TaskDraft(found.task, TASKS.name_of(found.task), found.reason, absent / len(labels))


def written(found: Draft, table: Path, out: Path) -> str:
    """The configuration as commented YAML.

    :param table: where the rows are. :param out: where the configuration will be.
    """
    path = os.path.relpath(table.absolute(), out.absolute().parent)
    lines = [
        "# Written by polytask init. It works as it is; every key is explained in docs/configuration.md.",
        f"#   polytask check {out.name}      what becomes of every column and label",
        f"#   polytask compare {out.name}    which tasks does one shared model help or hurt?",
        f"#   polytask train {out.name}      one model for all tasks",
        "",
        f"title: {dumped(table.stem, flow=True)}",
        "",
        "data:",
        f"  train: {dumped(path, flow=True)}",
        *_columns(found),
        *_split(found),
        "",
        "# What to predict. Kinds: " + ", ".join(TASKS) + ".",
        "# A mapping says more: churn: {kind: binary, metric: auc, weight: 2}; `polytask list tasks` tells what.",
        "tasks:",
        *(f"  {dumped(t.task.name, flow=True)}: {_kind(t)}  # {_told(t)}" for t in found.tasks),
        "",
        "encoder: {name: mlp, width: 128, depth: 2, dropout: 0.1}  # polytask list encoders",
        "sharing: hard        # all tasks share the encoder, each has a head of its own",
        "balancer: equal      # losses in units of the best constant predictor; polytask list balancers",
        "",
        "training:",
        "  lr: 1e-3",
        "  batch_size: 256",
        "  epochs: 40         # at most",
        "  patience: 6        # stop after so many epochs without a better one on the validation rows",
        "seed: 0",
        "",
        "compare:",
        "  seeds: 5           # trainings per contender; three is the least for a verdict",
        "",
    ]
    return "\n".join(lines)


def _columns(found: Draft) -> list[str]:
    lines = [f"  # features: {plural(found.features, 'column')}, all that are neither targets nor left out here."]
    lines += [f"  # {_comment(note.column)}: dropped, {_comment(note.text)}" for note in found.dropped]
    if not found.excluded:
        return [*lines, "  exclude: []  # identifiers, and what would not be known at prediction"]
    lines += ["  exclude:  # add what would not be known at prediction"]
    names = (f"  - {dumped(name, flow=True)}  # {_comment(reason)}" for name, reason in found.excluded.items())
    return [*lines, *(f"  {line}" for line in names)]


def _split(found: Draft) -> list[str]:
    column = dumped(found.times[0] if found.times else "date", flow=True)
    return [
        "  split: {name: random, validation: 0, test: 0.2}  # these rows judge, and do nothing else",
        f"  # The future instead of random rows: split: {{name: time, column: {column}}}",
        "  # Rows of one person on one side:    split: {name: group, column: person}",
    ]


def _kind(task: TaskDraft) -> str:
    """The kind; with the column where the task cannot have its name."""
    column = task.task.columns[0]
    return task.kind if column == task.task.name else dumped({"kind": task.kind, "columns": [column]}, flow=True)


def _told(task: TaskDraft) -> str:
    return f"{_comment(task.reason)}; {task.missing:.1%} missing"


def _comment(text: str) -> str:
    """Text on one line, short enough for a comment."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "..."
