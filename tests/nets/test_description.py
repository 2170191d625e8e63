"""The tree of a model accounts for every number."""

from __future__ import annotations

import polars as pl
import torch

from polytask.batch import Inputs, InputSpec
from polytask.nets.description import describe, flops
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import AITM, ESMM, Hard
from polytask.tasks import Binary, Multiclass, Regression

FRAME = pl.DataFrame({"a": [0, 1, 0, 1], "b": [1.0, 2.0, 0.5, 3.0], "c": ["x", "y", "z", "x"], "d": [1, 1, 0, 0]})
TASKS = (Binary("a"), Binary("d"), Regression("b"), Multiclass("c"))


def model() -> Model:
    targets = [task.fit(FRAME.select(task.columns)) for task in TASKS]
    return Model(InputSpec(5), targets, MLP(width=7, depth=2), Hard())


def test_every_number_is_accounted_for() -> None:
    built = model()
    tree = describe(built)
    assert tree.numbers == sum(p.numel() for p in built.parameters())
    # 5 -> 7 -> 7; a binary head has 7 + 1 numbers, the three classes 3 * 8
    named = {branch.name: branch.numbers for branch in tree.parts}
    assert named == {
        "shared by all tasks": 5 * 7 + 7 + 7 * 7 + 7,
        "each of 3 tasks (a, d, b)": 8,
        "c alone": 24,
    }


def test_lines_read_as_a_tree() -> None:
    lines = list(describe(model()).lines())
    assert lines[0] == "├─ shared by all tasks  98"
    assert lines[-2:] == ["└─ c alone  24", "   └─ head  24  3×7, 3"]


def test_flops_of_a_row_by_hand() -> None:
    # Two operations per weight of every product: 5x7, 7x7, heads of 7 -> (1 + 1) + 1 + 3 outputs.
    row = Inputs(torch.zeros(1, 5), torch.zeros(1, 0, dtype=torch.int64))
    assert flops(model(), row) == 2 * (5 * 7 + 7 * 7 + 7 * 6)


def test_heads_that_are_linked_are_not_anybodys_alone() -> None:
    """A trunk 5 -> 7 -> 7 and a head of 8 per task: what one task of a funnel says, the next one multiplies."""
    funnel = (Binary("a"), Binary("d", parents=("a",)))
    targets = [task.fit(FRAME.select(task.columns)) for task in funnel]
    tree = describe(Model(InputSpec(5), targets, MLP(width=7, depth=2), ESMM()))
    assert {branch.name: branch.numbers for branch in tree.parts} == {
        "each of 2 tasks (a, d), read by others too": 98 + 8
    }


def test_trunks_that_children_read_are_not_their_tasks_alone() -> None:
    chain = (Binary("a"), Binary("d", parents=("a",)))
    targets = [task.fit(FRAME.select(task.columns)) for task in chain]
    tree = describe(Model(InputSpec(5), targets, MLP(width=7, depth=2), AITM()))
    named = {branch.name: branch.numbers for branch in tree.parts}
    assert named == {
        "shared by all tasks": 7 * 7 + 7 + 3 * 7 * 7,  # the gate of one parent with bias, query, key and value
        "each of 2 tasks (a, d), read by others too": 98,
        "each of 2 tasks (a, d)": 8,
    }
