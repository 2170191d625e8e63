"""What a run remembers of its task gradients."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from polytask.balancing.record import StepRecord
from polytask.record.run import RunRecord
from polytask.record.traces import gradient_trace
from polytask.tasks import Binary, Regression
from polytask.training.learner import Learner
from polytask.training.listeners.numbers import flat_numbers
from polytask.training.tally import GradientTally

J = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, -1.0]], dtype=torch.float64)


def seen(names, jacobian):
    gramian = jacobian @ jacobian.T
    return StepRecord(names, torch.ones(len(names)), torch.ones(len(names)), gramian)


def test_means_of_lengths_and_cosines_and_the_share_of_conflicts():
    """a, b, c in one step and a, c in another: by hand."""
    tally = GradientTally(("a", "b", "c"))
    tally.add(seen(("a", "b", "c"), J), torch.tensor([0, 1, 2]))
    tally.add(seen(("c", "a"), torch.tensor([[1.0, 0.0], [4.0, 0.0]], dtype=torch.float64)), torch.tensor([2, 0]))
    tally.add(StepRecord(("a",), torch.ones(1), torch.ones(1)), torch.tensor([0]))  # looked at no gradient
    facts = tally.facts()
    root = math.sqrt(0.5)
    assert facts.steps == 2
    assert facts.norms == pytest.approx(((2 + 4) / 2, 3, (math.sqrt(2) + 1) / 2), rel=1e-3)
    assert facts.cosines == pytest.approx((0.0, (1 - root) / 2, -root), abs=1e-4)  # ab, ac, bc
    assert facts.conflicts == pytest.approx(2 / 4)  # ac and bc in the first step, of three pairs and then one
    tally.clear()
    assert tally.facts() is None


def test_gradients_that_are_not_finite_count_nothing():
    tally = GradientTally(("a", "b"))
    tally.add(seen(("a", "b"), torch.tensor([[math.inf, 0.0], [1.0, 1.0]])), torch.tensor([0, 1]))
    tally.add(seen(("a", "b"), torch.tensor([[1.0, 0.0], [1.0, 0.0]])), torch.tensor([0, 1]))
    facts = tally.facts()
    assert (facts.conflicts, facts.cosines) == (0.0, (1.0,))
    assert facts.norms == (1.0, pytest.approx((math.sqrt(2) + 1) / 2, rel=1e-3))


def test_one_task_has_no_pair():
    tally = GradientTally(("a",))
    tally.add(seen(("a",), torch.tensor([[3.0, 4.0]])), torch.tensor([0]))
    facts = tally.facts()
    assert (facts.norms, facts.cosines) == ((5.0,), ())
    assert math.isnan(facts.conflicts)


@pytest.mark.parametrize(("balancer", "looked"), [("equal", 0), ("pcgrad", 8), ("graddrop", 8)])
def test_every_epoch_tells_what_the_balancer_saw(world, balancer, looked):
    trained = world.train(balancer=balancer, epochs=2)
    for epoch in trained.history:
        assert (0 if epoch.gradients is None else epoch.gradients.steps) == looked


def test_reused_weights_look_at_nothing(world):
    trained = world.train(balancer="mgda", epochs=1, balance_every=4)
    assert trained.history[0].gradients.steps == 2
    assert trained.steps == 8


def test_the_record_survives_the_disk_and_older_runs_are_still_read(frame, tmp_path):
    learner = Learner([Binary("yes"), Regression("up")], exclude=["down"], balancer="mgda", training={"epochs": 2})
    learner.fit(frame, run=tmp_path / "run")
    record = RunRecord.read(tmp_path / "run")
    assert record.history == learner.history
    assert record.history[1].gradients.tasks == ("yes", "up")
    numbers = flat_numbers(record.history[0])
    assert numbers["conflicts"] == record.history[0].gradients.conflicts
    assert numbers["gradient/up"] == record.history[0].gradients.norms[1]

    text = (tmp_path / "run" / "run.json").read_text()
    start, end = text.index(', "gradients"'), text.index("}", text.index(', "gradients"')) + 1
    (tmp_path / "run" / "run.json").write_text(text[:start] + text[end:])
    older = RunRecord.read(tmp_path / "run").history
    assert (older[0].gradients, older[1].gradients) == (None, record.history[1].gradients)


def test_a_trace_weighs_epochs_by_their_steps(world):
    epoch = world.train(balancer="mgda", epochs=1).history[0]
    facts = dataclasses.replace(epoch.gradients, steps=1, conflicts=0.25, cosines=(0.1, math.nan, math.nan))
    later = dataclasses.replace(facts, steps=3, conflicts=0.5, cosines=(0.5, -0.2, math.nan))
    epochs = [dataclasses.replace(epoch, gradients=g) for g in (facts, None, later)]
    trace = gradient_trace("wide", 7, epochs)
    assert trace.conflicts == (0.25, 0.5)
    assert trace.cosines[:2] == pytest.approx((0.4, -0.2))
    assert math.isnan(trace.cosines[2])
    assert gradient_trace("wide", 7, epochs[1:2]) is None
