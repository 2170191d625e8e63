"""The parts of a model for its record: every number is somebody's."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from polytask.batch import Inputs, InputSpec
from polytask.nets.encoders import MLP
from polytask.nets.layout import layout, part_name
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING
from polytask.tasks import Binary

FRAME = pl.DataFrame({"a": [0, 1, 0, 1], "d": [1, 1, 0, 0]})


@pytest.mark.parametrize("way", list(SHARING))
def test_every_number_is_somebodys(way: str) -> None:
    targets = [Binary(name).fit(FRAME.select(name)) for name in FRAME.columns]
    model = Model(InputSpec(5), targets, MLP(width=6, depth=2), SHARING.build(way))
    row = Inputs(torch.zeros(1, 5), torch.zeros(1, 0, dtype=torch.int64))
    found = layout(model, row, way)
    assert sum(sum(part.numbers) for part in found.parts) == sum(v.numel() for v in model.task_state().values())
    assert all(len(part.numbers) == (1 if part.kind == "shared" else len(part.tasks)) for part in found.parts)
    assert found.flops > 2 * 6 * 6


def test_experts_by_hand() -> None:
    """Four experts 5 -> 6 -> 6, gates 5 -> 4 and heads of 6 + 1 for two tasks."""
    targets = [Binary(name).fit(FRAME.select(name)) for name in FRAME.columns]
    model = Model(InputSpec(5), targets, MLP(width=6, depth=2), SHARING.build("mmoe"))
    found = layout(model, Inputs(torch.zeros(1, 5), torch.zeros(1, 0, dtype=torch.int64)), "mmoe")
    assert {(part.name, part.kind): part.numbers for part in found.parts} == {
        ("experts, block 1", "shared"): (4 * (5 * 6 + 6),),
        ("experts, block 2", "shared"): (4 * (6 * 6 + 6),),
        ("gate", "own"): (20, 20),
        ("head", "own"): (7, 7),
    }


@pytest.mark.parametrize(
    ("key", "name"),
    [("units.1.kept", "unit 1"), ("blocks.0.linear.bias", "block 1"), ("towers.copies.0.weight", "tower 1")],
)
def test_parts_have_names(key: str, name: str) -> None:
    assert part_name(key) == name
