"""Tasks that build on tasks: order, cycles, unknown parents, and what parents leave alone."""

from __future__ import annotations

from itertools import permutations

import polars as pl
import pytest

from polytask.errors import ConfigError
from polytask.tasks import TASKS, Binary
from polytask.tasks.parents import check_parents, generations
from polytask.training.config import LearnerConfig

CHAIN = (Binary("see"), Binary("click", parents=("see",)), Binary("buy", parents=("see", "click")))


@pytest.mark.parametrize("tasks", list(permutations(CHAIN)))
def test_generations_do_not_depend_on_the_order(tasks: tuple[Binary, ...]) -> None:
    assert generations(tasks) == {"see": 0, "click": 1, "buy": 2}


def test_a_task_without_its_parents_comes_first() -> None:
    assert generations(CHAIN[2:]) == {"buy": 0}


@pytest.mark.parametrize(
    ("tasks", "cycle"),
    [
        ([Binary("a", parents=("a",))], "a -> a"),
        ([Binary("a", parents=("b",)), Binary("b", parents=("c",)), Binary("c", parents=("b",))], "b -> c -> b"),
    ],
)
def test_a_cycle_is_named(tasks: list[Binary], cycle: str) -> None:
    with pytest.raises(ConfigError, match=cycle):
        check_parents(tasks)


def test_an_unknown_parent_is_refused_with_the_nearest_task() -> None:
    with pytest.raises(ConfigError, match="parent 'clik' is no task") as caught:
        LearnerConfig.build([Binary("click"), Binary("buy", parents=("clik",))])
    assert "Did you mean 'click'?" in str(caught.value)


def test_a_learner_refuses_a_cycle() -> None:
    with pytest.raises(ConfigError, match="a -> b -> a"):
        LearnerConfig.build([Binary("a", parents=("b",)), Binary("b", parents=("a",))])


def test_parents_are_names() -> None:
    with pytest.raises(ConfigError, match="parents"):
        Binary("buy", parents="click")  # type: ignore[arg-type]


def test_parents_are_configuration_and_share_a_head_group() -> None:
    config = TASKS.config(CHAIN[2])
    assert config["parents"] == ["see", "click"]
    assert TASKS.build(config) == CHAIN[2]
    labels = [0, 1, 1, 0]
    signatures = {task.fit(pl.DataFrame({task.name: labels})).signature for task in CHAIN}
    assert len(signatures) == 1
