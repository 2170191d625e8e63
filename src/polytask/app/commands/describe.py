"""``polytask describe``: who shares what, and what a row costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import torch
import typer

from polytask.app.options import Set, Trust
from polytask.app.reading import read_config
from polytask.app.rows import divide, open_rows
from polytask.app.saved import model_in
from polytask.batch import Inputs
from polytask.data.saved import AnySchema
from polytask.data.schema import Schema
from polytask.errors import plural
from polytask.nets.description import describe, flops
from polytask.nets.model import Model
from polytask.training.learner import load
from polytask.training.sources import prepare, read_sources

Described = Annotated[Path, typer.Argument(metavar="CONFIG|MODEL", help="A configuration, a saved model or a run.")]


def command(what: Described, *, changes: Set = None, trust: Trust = False) -> None:
    """Show which weights tasks share.

    A tree: what all tasks share, what each has alone. For a configuration, the model that it would train, untrained;
    for a saved model or a run, that model.
    """
    if what.is_dir():
        fitted = load(model_in(what), trust=trust).fitted
        for part in fitted.parts:
            _show(part.model, fitted.schema, part.name if len(fitted.parts) > 1 else "model")
        return
    opened = open_rows(read_config(what, changes or ()))
    learner = opened.learner
    sides = divide(opened, learner.recipe.options.seed)
    prepared = prepare(
        learner.tasks,
        read_sources(sides.train, text=learner.schema.categorical, tasks=learner.tasks),
        None,
        learner.schema,
        exclude=learner.exclude,
        features=learner.features,
        tokenizer=learner.recipe.encoder.tokenizer(),
    )
    schema, recipe = prepared.schema, learner.recipe
    _show(Model(schema.spec, prepared.targets, recipe.encoder, recipe.sharing), schema, "model")


def _show(model: Model, schema: AnySchema, name: str) -> None:
    row = _row(schema)
    tree = describe(model)
    print(
        f"{name}: {plural(len(model.tasks), 'task')}, {plural(tree.numbers, 'number')}, "
        f"{flops(model, row):,} FLOPs per row"
    )
    for line in tree.lines():
        print(line)


def _row(schema: AnySchema) -> Inputs:
    """Some row: of numbers and categories, or a text of ten words."""
    if not isinstance(schema, Schema):
        return schema.encode(pl.DataFrame({"text": ["word " * 10]}))
    spec = schema.spec
    return Inputs(torch.zeros(1, spec.numeric), torch.zeros(1, len(spec.cardinalities), dtype=torch.int64))
