"""``polytask check``: what a configuration leads to, without training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Grid
from torch import Tensor

from polytask.app.options import ConfigFile, Set
from polytask.app.reading import read_config
from polytask.app.rows import Opened, Sides, divide, open_rows
from polytask.batch import InputSpec, Ragged
from polytask.data.table import Table
from polytask.errors import plural
from polytask.nets.model import Model
from polytask.tasks import TASKS
from polytask.tasks.task import Target, Task, labelled
from polytask.training.sources import Prepared, encode_held_out, prepare, read_sources

SHOWN = 6
"""Classes, or target columns, that a cell of the table has room for."""


def command(config: ConfigFile, *, changes: Set = None) -> None:
    """Say what becomes of every column and label.

    Reads all rows, fits schema and targets on the training rows, and looks for features that give a target away.
    Nothing is trained or written.
    """
    opened = open_rows(read_config(config, changes or ()))
    options = opened.learner.recipe.options
    sides = divide(opened, options.seed)
    read_side = partial(read_sources, text=opened.learner.schema.categorical, tasks=opened.learner.tasks)
    prepared = prepare(
        opened.learner.tasks,
        read_side(sides.train),
        None if sides.validation is None else read_side(sides.validation),
        opened.learner.schema,
        exclude=opened.learner.exclude,
        features=opened.learner.features,
        fraction=options.validation_fraction,
        seed=options.seed,
        tokenizer=opened.learner.recipe.encoder.tokenizer(),
    )
    test = _test_table(sides, prepared, opened.learner.tasks)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(f"{opened.about}: {_rows(prepared, test)}", markup=False, soft_wrap=True)
    console.print(_columns(prepared))
    console.print(_tasks(prepared, test))
    console.print(_model(opened, prepared), markup=False, soft_wrap=True)


def _test_table(sides: Sides, prepared: Prepared, tasks: Sequence[Task]) -> Table | None:
    if sides.test is None:
        return None
    frames = read_sources(sides.test, text=prepared.schema.categories, tasks=tasks)
    return encode_held_out(frames, prepared.schema, prepared.targets, "the test table")


def _rows(prepared: Prepared, test: Table | None) -> str:
    parts = {"training": prepared.train, "validation": prepared.validation, "test": test}
    return ", ".join(plural(0 if table is None else len(table), f"{name} row") for name, table in parts.items())


def _columns(prepared: Prepared) -> Grid:
    grid = _grid(plural(len(prepared.schema.names), "feature"), "column", "kind", "what becomes of it")
    for note in sorted(prepared.schema.notes, key=lambda note: note.kind == "dropped"):
        grid.add_row(note.column, note.kind, ("look at this: " if note.warning else "") + note.text)
    return grid


def _tasks(prepared: Prepared, test: Table | None) -> Grid:
    title = plural(len(prepared.targets), "task")
    grid = _grid(title, "task", "kind", "metric", "labels", "missing", "in test", "training labels")
    counts = prepared.train.labelled_counts()
    tested = {} if test is None else test.labelled_counts()
    for target in prepared.targets:
        task, count = target.task, counts[target.task.name]
        name = task.name if task.role == "primary" else f"{task.name} ({task.role})"
        missing = f"{1 - count / len(prepared.train):.1%}"
        in_test = f"{tested[task.name]:,}" if tested else "-"
        kind = TASKS.name_of(task)
        grid.add_row(
            name,
            kind,
            task.main_metric.name,
            f"{count:,}",
            missing,
            in_test,
            _labels(target, prepared.train.labels(task.name)),
        )
    return grid


def _model(opened: Opened, prepared: Prepared) -> str:
    spec: InputSpec = prepared.schema.spec
    recipe = opened.learner.recipe
    model = Model(spec, prepared.targets, recipe.encoder, recipe.sharing)
    shared = sum(p.numel() for p in model.shared_parameters())
    every = sum(p.numel() for p in model.parameters())
    if spec.vocabulary:
        return f"Model: texts of {spec.vocabulary:,} codes in, {every:,} parameters, {shared:,} of them shared."
    codes = f" and {len(spec.cardinalities)} categories" if spec.cardinalities else ""
    return f"Model: {spec.numeric} numbers{codes} in, {every:,} parameters, {shared:,} of them shared."


def _labels(target: Target, encoded: Tensor | Ragged) -> str:
    """How often each class occurs; for numbers their mean and range."""
    known = encoded[labelled(encoded)]
    if isinstance(known, Ragged):
        return f"{len(known.values):,} {'words' if target.unit == 'word' else 'in lists'}"
    learned = target.learned()
    names = learned.get("classes") or learned.get("levels")
    if names and target.width == 1:
        counts = torch.bincount(known[:, 0].long(), minlength=len(names)).tolist()
        told = [f"{name}: {count:,}" for name, count in zip(names, counts, strict=True)]
        return ", ".join(told[:SHOWN]) + (f", and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
    values = target.truth(known)
    with np.errstate(invalid="ignore"):
        columns = [column[np.isfinite(column)] for column in values.T]
    told = [f"mean {c.mean():.4g}, from {c.min():.4g} to {c.max():.4g}" for c in columns if len(c)]
    return "; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else "")


def _grid(title: str, *columns: str) -> Grid:
    grid = Grid(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False, header_style="dim")
    for column in columns:
        right = column in ("labels", "missing", "in test")
        grid.add_column(column, justify="right" if right else "left", overflow="fold")
    return grid
