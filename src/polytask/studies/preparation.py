"""From what the user hands over to the problem that all contenders are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from polytask.data.division import split
from polytask.data.pieces import Frame
from polytask.data.saved import AnySchema
from polytask.data.splits.random import Random
from polytask.data.splits.split import Split
from polytask.errors import DataError
from polytask.record.compare import DataFacts, Source
from polytask.studies.problem import Problem, set_aside
from polytask.training.learner import Learner
from polytask.training.sources import Data, encode_held_out, prepare, read_sources


@dataclass(frozen=True)
class Sides:
    """Tables by name: those to learn from, maybe those that choose checkpoints, those that judge."""

    train: Mapping[str, pl.DataFrame]
    validation: Mapping[str, pl.DataFrame] | None
    test: Mapping[str, pl.DataFrame]


def read_sides(learner: Learner, train: Data, validation: Data | None, test: Data | None, how: Split | None) -> Sides:
    """Read the tables; without test tables, split the training tables.

    :raises DataError: a table that cannot be used, or a split that cannot be made.
    """
    read_side = partial(read_sources, text=learner.config.schema.categorical, tasks=learner.config.tasks)
    tables = _collected(read_side(train))
    held = None if validation is None else _collected(read_side(validation))
    if test is not None:
        return Sides(tables, held, _collected(read_side(test)))
    how = how or Random(validation=0.0)
    if held is not None:  # the split's own validation rows are not needed, so they train
        how = dataclasses.replace(how, validation=0.0)
    seed = learner.config.recipe.options.seed
    parts = {name: split(frame, how, seed) for name, frame in tables.items()}
    if not any(len(part["test"]) for part in parts.values()):
        raise DataError(
            "the split leaves no test rows.", where="split", do="Set split.test above 0, or give a test table."
        )
    if held is None and any(len(part["validation"]) for part in parts.values()):
        held = {name: frame[parts[name]["validation"]] for name, frame in tables.items()}
    return Sides(
        {name: frame[parts[name]["train"]] for name, frame in tables.items()},
        held,
        {name: frame[parts[name]["test"]] for name, frame in tables.items()},
    )


def prepare_problem(learner: Learner, sides: Sides, *, shared_validation: bool = False) -> tuple[Problem, AnySchema]:
    """Fit schema and targets on the training rows and encode everything.

    :param shared_validation: set validation rows aside once for all seeds, because a decision depends on them.
    """
    config = learner.config
    prepared = prepare(
        config.tasks,
        sides.train,
        sides.validation,
        config.schema,
        exclude=config.exclude,
        features=config.features,
        tokenizer=config.recipe.encoder.tokenizer(),
    )
    test = encode_held_out(sides.test, prepared.schema, prepared.targets, "the test table")
    train, held = prepared.train, prepared.validation
    if held is None and shared_validation:
        part = set_aside(train, config.recipe.options.validation_fraction, seed=config.recipe.options.seed)
        train, held = part.train, part.validation
    return Problem(train, test, prepared.schema.spec, prepared.targets, held), prepared.schema


def data_facts(sides: Sides, problem: Problem, fraction: float, features: tuple[str, ...]) -> DataFacts:
    """What was read and how it was split, for the record."""
    rows: dict[str, int] = {}
    for side in (sides.train, sides.validation or {}, sides.test):
        for name, frame in side.items():
            rows[name] = rows.get(name, 0) + frame.height
    drawn = len(problem.train) - len(problem.split(fraction, 0).train)
    return DataFacts(
        sources=tuple(Source(name, count) for name, count in rows.items()),
        train=len(problem.train) - drawn,
        validation=drawn if problem.validation is None else len(problem.validation),
        test=len(problem.test),
        features=features,
    )


def _collected(frames: Mapping[str, Frame]) -> dict[str, pl.DataFrame]:
    return {name: f.collect() if isinstance(f, pl.LazyFrame) else f for name, f in frames.items()}
