"""The model with every kind of task and every loss."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import polars as pl
import pytest
import torch
from nets_fakes import SPEC, layout, make_inputs, randomise_heads

from polytask.batch import Targets
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import Hard
from polytask.tasks import TASKS, Task

ROWS = 60
ABOUT_WORDS = {"tagging", "morph_tagging", "lemmatisation", "dependency_parsing", "language_modelling"}
ABOUT_LISTS = {"span_labelling", "generation"}
"""Kinds that need texts: tests/nets/test_text_heads.py and tests/tasks hold them to the same."""


def columns(kind: str, rng: np.random.Generator) -> dict[str, list[object]]:
    """Labels for three tasks of one kind, with gaps."""
    draw = {
        "binary": lambda: rng.random(ROWS) < 0.3,
        "pair_classification": lambda: rng.permutation(["yes", "no", "maybe"] * (ROWS // 3)),
        "multiclass": lambda: rng.permutation(["red", "green", "blue"] * (ROWS // 3)),
        "multilabel": lambda: rng.random(ROWS) < 0.4,
        "ordinal": lambda: rng.permutation([1, 2, 3, 4] * (ROWS // 4)),
        "regression": lambda: np.exp(rng.normal(3, 0.5, ROWS)),
        "count": lambda: rng.poisson(2.0, ROWS),
    }[kind]
    gaps = rng.random((6, ROWS)) < 0.2
    return {
        f"{kind}{i}": [None if gone else v for gone, v in zip(gaps[i], draw().tolist(), strict=True)] for i in range(6)
    }


def cases() -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    for kind, cls in TASKS.items():
        if kind in ABOUT_WORDS | ABOUT_LISTS:
            continue
        hints = get_type_hints(cls)
        found += [(kind, {"loss": loss}) for loss in get_args(hints.get("loss", ""))] or [(kind, {})]
    return found


@pytest.fixture(params=cases(), ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def setting(request: pytest.FixtureRequest) -> tuple[list[Task], pl.DataFrame]:
    kind, options = request.param
    frame = pl.DataFrame(columns(kind, np.random.default_rng(0)))
    several = kind == "multilabel"
    names = [(f"{kind}{2 * i}", f"{kind}{2 * i + 1}") if several else (f"{kind}{i}",) for i in range(3)]
    return [TASKS.find(kind)(f"t{i}", columns=c, **options) for i, c in enumerate(names)], frame


def test_real_tasks_start_at_their_reference_loss(setting: tuple[list[Task], pl.DataFrame]) -> None:
    tasks, frame = setting
    targets = [task.fit(frame) for task in tasks]
    encoded = Targets(torch.cat([target.encode(frame) for target in targets], 1), layout(targets))
    units = {target.task.name: target.reference_loss(encoded[target.task.name]) for target in targets}
    model = Model(SPEC, targets, MLP(), Hard(), loss_units=units)
    assert [group.names for group in model.groups] == [("t0", "t1", "t2")]
    losses = model.losses(model(make_inputs(ROWS)), encoded)
    torch.testing.assert_close(losses.values.detach(), torch.ones(3), rtol=1e-4, atol=0)
    assert losses.counts.tolist() == [float((~encoded[n].isnan().all(1)).sum()) for n in encoded.layout]


def test_stacked_real_tasks_are_real_tasks_alone(setting: tuple[list[Task], pl.DataFrame]) -> None:
    tasks, frame = setting
    targets = [task.fit(frame) for task in tasks]
    encoded = Targets(torch.cat([target.encode(frame) for target in targets], 1), layout(targets))
    model = Model(SPEC, targets, MLP(width=16), Hard()).eval()
    randomise_heads(model)
    inputs = make_inputs(ROWS)
    joint = model.losses(model(inputs), encoded)
    joint.values.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    for i, target in enumerate(targets):
        alone = Model(SPEC, [target], MLP(width=16), Hard()).eval()
        alone.load_task_state(model.task_state(), [target.task.name])
        values = alone.losses(alone(inputs), encoded).values
        torch.testing.assert_close(values[0], joint.values[i], rtol=1e-5, atol=1e-6)
