"""The balancer of one training, and what it is shown beside the batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim import Optimizer

from polytask.balancing.balancer import Balancer
from polytask.balancing.contract import Method, Need
from polytask.batch import Batch, TaskLosses
from polytask.data.table import Table
from polytask.errors import ConfigError, DataError
from polytask.nets.model import Model
from polytask.tasks.task import Target
from polytask.training.bilevel.balancer import primary_tasks
from polytask.training.bilevel.contract import Bilevel
from polytask.training.bilevel.steps import ROWS_ASIDE, BilevelSteps
from polytask.training.options import TrainingOptions
from polytask.training.recipe import Recipe
from polytask.training.validation import Validator

JUDGED = 2048
"""Training rows that say how well the tasks are solved, for balancers that ask."""


def balance(
    recipe: Recipe,
    model: Model,
    optimizer: Optimizer,
    table: Table,
    targets: Sequence[Target],
    *,
    seed: int,
    fabric: Fabric,
) -> tuple[Balancer | BilevelSteps, Table]:
    """The balancer that a recipe names, and the rows that are left to train on.

    :raises ConfigError: it does not fit the options.
    """
    method, options = recipe.balancer, recipe.options
    if recipe.sharing.remakes_gradients:
        _check_plain(method, options, fabric)
    if not isinstance(method, Bilevel):
        rows = None if options.balance_rows == 1 or method.needs is Need.LOSSES else options.balance_rows
        every, on = options.balance_every, options.balance_on
        return Balancer(method, tasks=model.tasks, seed=seed, every=every, on=on, rows=rows), table
    _check_alone(method, options, fabric)
    left, aside = rows_aside(table, options.balance_fraction, seed)

    def losses(model: Model, batch: Batch) -> TaskLosses:
        with fabric.autocast():
            return model.losses(model(batch.inputs), batch.targets)

    primary = primary_tasks(targets) or frozenset(model.tasks)

    size = options.batch_size
    return BilevelSteps(
        method, model, optimizer, primary=primary, aside=aside, batch_size=size, seed=seed, losses=losses
    ), left


def rows_aside(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """The rows to train on, and the share of every source that serves the outer problem of a bilevel balancer.

    :raises DataError: no row can be spared.
    """
    rng = np.random.default_rng([seed, ROWS_ASIDE])
    aside = np.zeros(len(table), dtype=bool)
    for span in table.sources.values():
        aside[span.start + rng.permutation(len(span))[: min(round(fraction * len(span)), len(span) - 1)]] = True
    if not aside.any():
        raise DataError(
            f"{len(table)} training rows are too few to set some aside for the balancer.",
            do="Choose a balancer that needs no rows of its own, or raise training.balance_fraction.",
        )
    return table.take(np.flatnonzero(~aside)), table.take(np.flatnonzero(aside))


def _check_plain(method: Method, options: TrainingOptions, fabric: Fabric) -> None:
    if method.needs is not Need.LOSSES:
        raise ConfigError(
            f"{type(method).__name__} looks at task gradients, and this way of sharing remakes them.",
            where="balancer",
            do="Choose a balancer that sees losses alone, such as equal, or sharing: hard.",
        )
    if fabric.world_size > 1 or options.precision == "16-mixed":
        raise ConfigError(
            "this way of sharing is for one process and for losses that are not scaled.",
            where="sharing",
            do="Set training.devices to 1 and training.precision to 32-true or bf16-mixed.",
        )


def _check_alone(method: Method, options: TrainingOptions, fabric: Fabric) -> None:
    found = f"{fabric.world_size} processes" if fabric.world_size > 1 else f"precision: {options.precision}"
    if fabric.world_size > 1 or options.precision == "16-mixed":
        raise ConfigError(
            f"{type(method).__name__} is for one process and for losses that are not scaled, found {found}.",
            where="balancer",
            do="Set training.devices to 1 and training.precision to 32-true or bf16-mixed, or choose another balancer.",
        )


def judge_of(
    method: Method, model: Model, fabric: Fabric, table: Table, targets: Sequence[Target], *, seed: int
) -> Callable[[], dict[str, float]] | None:
    """How well each task is solved on some training rows: ``exp(-error / error of the constant predictor)``."""
    if not method.reads_kpi:
        return None
    rows = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:JUDGED].sort().values
    scorer = Validator(table.take(rows), targets, dict.fromkeys(model.tasks, 1.0), "metric")
    return lambda: {name: math.exp(min(gain, 1.0) - 1.0) for name, gain in scorer(model, fabric).gains.items()}
