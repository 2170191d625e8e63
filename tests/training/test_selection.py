"""Which epoch is kept, and when to stop; sequences worked by hand."""

from __future__ import annotations

import math

import pytest

from polytask.training.selection import Selection, first_settled

NAN = math.nan


def after(selection, *epochs):
    for gains in epochs:
        selection = selection.after(gains)
    return selection


def test_the_best_mean_over_primary_tasks():
    # means of a and b: .2, .3, .25; auxiliary c alone would choose epoch 3.
    s = after(
        Selection(("a", "b")),
        {"a": 0.3, "b": 0.1, "c": 0.0},
        {"a": 0.2, "b": 0.4, "c": -1.0},
        {"a": 0.1, "b": 0.4, "c": 9.0},
    )
    assert (s.epoch, s.gain) == (2, pytest.approx(0.3))
    assert s.epochs == {"a": 1, "b": 2, "c": 3}
    assert s.stale == 1
    assert s.kept(("a", "b", "c")) == {2: ("a", "b", "c")}


def test_per_task_keeps_each_best_and_waits_for_the_last_task():
    gains = ({"a": 0.9, "b": 0.1}, {"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.3})
    one, each = after(Selection(("a", "b")), *gains), after(Selection(("a", "b"), per_task=True), *gains)
    assert (one.epoch, one.stale) == (1, 2)
    assert (each.epoch, each.stale) == (1, 0)
    assert each.kept(("a", "b")) == {1: ("a",), 3: ("b",)}


def test_unknown_gains_never_win():
    s = after(Selection(("a", "b")), {"a": NAN, "b": -0.5}, {"a": NAN, "b": NAN}, {"a": NAN, "b": -0.6})
    assert (s.epoch, s.gain, s.epochs) == (1, -0.5, {"b": 1})
    nothing = after(Selection(("a",), per_task=True), {"a": NAN}, {"a": NAN})
    assert (nothing.epoch, nothing.kept(("a",))) == (0, {2: ("a",)})


def test_the_first_of_equal_epochs_is_kept():
    s = after(Selection(("a",)), {"a": 0.5}, {"a": 0.5})
    assert (s.epoch, s.stale) == (1, 1)


@pytest.mark.parametrize("per_task", [False, True])
def test_epochs_of_a_search_are_neither_kept_nor_counted_against_patience(per_task):
    gains = ({"a": 0.9}, {"a": 0.8}, {"a": 0.7}, {"a": 0.1}, {"a": 0.05})
    searching = after(Selection(("a",), per_task, first=4), *gains[:3])
    assert (searching.epoch, searching.stale, searching.kept(("a",))) == (0, 0, {3: ("a",)})
    settled = after(searching, *gains[3:])
    assert (settled.epoch, settled.gain, settled.stale, settled.epochs) == (4, 0.1, 1, {"a": 4})
    assert settled.kept(("a",)) == {4: ("a",)}


@pytest.mark.parametrize("epochs", [1, 7, 10, 30, 40])
@pytest.mark.parametrize("settled", [0.0, 0.1, 0.3, 0.7, 1.0])
def test_the_first_settled_epoch_is_the_first_that_begins_behind_the_search(settled, epochs):
    first = first_settled(settled, epochs)
    assert first == epochs + 1 or (first - 1) / epochs >= settled
    assert first == 1 or (first - 2) / epochs < settled
