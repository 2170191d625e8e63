"""Small synthetic tables of known structure, and a training in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch

from polytask.data.sampling import SAMPLERS
from polytask.data.schema import Schema
from polytask.data.table import Table
from polytask.nets.encoders import MLP
from polytask.nets.sharing import Hard
from polytask.tasks import Binary, Regression
from polytask.training.balancers import BALANCERS
from polytask.training.options import TrainingOptions
from polytask.training.recipe import Recipe
from polytask.training.trainer import train_model

torch.set_num_threads(1)  # small models gain nothing from more, and lose much on a busy machine

TASKS = (Binary("yes"), Regression("up"), Regression("down"))


def make_frame(rows=600, seed=0, missing=0.0):
    """yes = [x0 + x1 > 0], up = 2 x0 + noise, down = -x1 + noise; six features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    labels = {
        "yes": (x[:, 0] + x[:, 1] > 0).astype(float),
        "up": 2 * x[:, 0] + 0.3 * rng.normal(size=rows),
        "down": -x[:, 1] + 0.3 * rng.normal(size=rows),
    }
    for values in labels.values():
        values[rng.random(rows) < missing] = np.nan
    columns = {f"x{i}": x[:, i] for i in range(6)} | labels
    return pl.DataFrame(columns).with_columns(pl.col("yes", "up", "down").fill_nan(None))


@dataclass(frozen=True)
class World:
    """An encoded table with fitted targets."""

    frame: pl.DataFrame
    schema: Schema
    targets: tuple
    table: Table

    @classmethod
    def of(cls, frame, tasks=TASKS):
        schema = Schema.fit(frame, exclude=[c for c in ("yes", "up", "down") if c in frame.columns])
        targets = tuple(task.fit(frame.select(task.columns)) for task in tasks)
        return cls(frame, schema, targets, Table.encode({"table": frame}, schema, targets))

    def train(
        self,
        *,
        targets=None,
        balancer="equal",
        encoder=None,
        sharing=None,
        train=None,
        validation=None,
        run=None,
        seed=0,
        listeners=(),
        **options,
    ):
        recipe = Recipe(
            encoder or MLP(width=16, dropout=0.1),
            sharing or Hard(),
            BALANCERS.build(balancer),
            SAMPLERS.build("proportional"),
            TrainingOptions(**{"epochs": 3, "batch_size": 64} | options),
        )
        rows = len(self.table)
        return train_model(
            self.table,
            self.schema.spec,
            self.targets if targets is None else targets,
            recipe,
            train_rows=torch.arange(rows * 3 // 4) if train is None else train,
            validation=torch.arange(rows * 3 // 4, rows) if validation is None else validation,
            seed=seed,
            run=run,
            listeners=listeners,
        )


@pytest.fixture
def frame():
    return make_frame()


@pytest.fixture
def world():
    return World.of(make_frame())


@pytest.fixture
def sparse():
    return World.of(make_frame(missing=0.4))


@pytest.fixture
def make_world():
    return lambda frame=None, tasks=TASKS, **kind: World.of(make_frame(**kind) if frame is None else frame, tasks)


def same_weights(one, other):
    """Whether two models are equal, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def equal_weights():
    return same_weights
