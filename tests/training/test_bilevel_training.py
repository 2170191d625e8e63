"""Bilevel balancers by name in a learner: rows set aside for them, weights from those rows, resumed bit for bit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from polytask.balancing.balancer import Balancer
from polytask.balancing.check import check_method
from polytask.balancing.laws import BrokenPromiseError
from polytask.batch import Batch
from polytask.errors import ConfigError, DataError
from polytask.tasks import Binary, Regression
from polytask.training.balance import rows_aside
from polytask.training.balancers import BALANCERS
from polytask.training.bilevel import BILEVEL, AutoLambda, BilevelBalancer, BilevelSteps
from polytask.training.learner import Learner, load
from polytask.training.step import Stepper

NAMES = list(BILEVEL)


class Killed(BaseException):
    """Stands for a kill."""


def remembered(monkeypatch):
    """Every stepper that is built, and every batch that it is given."""
    steppers, batches = [], []
    init, call = Stepper.__init__, Stepper.__call__

    def build(self, *args, **kind):
        init(self, *args, **kind)
        steppers.append(self)

    def step(self, group, number):
        batches.extend(group)
        return call(self, group, number)

    monkeypatch.setattr(Stepper, "__init__", build)
    monkeypatch.setattr(Stepper, "__call__", step)
    return steppers, batches


def keys(inputs):
    return {tuple(row) for row in inputs.numeric.tolist()}


@pytest.mark.parametrize("name", NAMES)
def test_rows_aside_are_neither_trained_on_nor_do_they_choose_checkpoints(world, name, monkeypatch):
    steppers, batches = remembered(monkeypatch)
    held_out = torch.arange(450, 600)
    trained = world.train(balancer=name, epochs=3, lr=0.01, validation=held_out)
    ((stepper,),) = [steppers]
    aside = keys(stepper.balancer._aside.batch(torch.arange(90)).inputs)
    assert len(stepper.balancer._aside) == len(aside) == 90  # 20 % of 450 training rows
    seen = set().union(*(keys(batch.inputs) for batch in batches))
    assert len(seen) == 360
    assert not aside & seen
    assert not aside & keys(world.table.batch(held_out).inputs)
    assert trained.history[-1].gain > 0
    assert trained.history[0].gradients is None


def test_the_share_is_an_option_and_every_source_gives_its_part(sparse):
    left, aside = rows_aside(sparse.table, 0.25, 3)
    assert (len(left), len(aside)) == (450, 150)
    both = torch.cat([left.batch(torch.arange(450)).inputs.numeric, aside.batch(torch.arange(150)).inputs.numeric])
    assert len(torch.unique(both, dim=0)) == 600
    again = rows_aside(sparse.table, 0.25, 3)[1].batch(torch.arange(150)).inputs.numeric
    assert torch.equal(again, both[450:])
    with pytest.raises(DataError, match="too few"):
        rows_aside(sparse.table.take(torch.arange(2)), 0.2, 3)
    with pytest.raises(ConfigError, match="balance_fraction"):
        sparse.train(balance_fraction=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_method_on_a_batch_and_the_rows_aside(sparse, name, monkeypatch):
    """A second balancer, fed by hand with the same rows before every step, finds the weights that training used."""
    steppers, _ = remembered(monkeypatch)
    expected, found = [], []
    call = BilevelSteps.backward
    by_hand = BilevelBalancer(BALANCERS.build(name), primary=["yes", "up", "down"])

    def look(model, batch: Batch):
        return model.losses(model(batch.inputs), batch.targets)

    def backward(self, given, batch, run):
        rng = np.random.default_rng([0, 11, len(found)])
        outer = self._aside.batch(torch.from_numpy(np.sort(rng.choice(90, 64, replace=False))))
        weights = by_hand.weights(self.model, look, batch, outer, steppers[0].optimizer)
        expected.append(torch.stack([weights[task] for task in given.names]))
        record = call(self, given, batch, run)
        found.append(record.weight_values)
        return record

    monkeypatch.setattr(BilevelSteps, "backward", backward)
    sparse.train(balancer=name, epochs=2)
    assert len(found) == 12
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert not torch.equal(found[0], found[-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [2, 9])
def test_stopped_and_resumed_is_as_if_never_stopped(sparse, equal_weights, tmp_path, name, at):
    settings = {"balancer": name, "epochs": 2, "checkpoint_steps": 4}
    whole = sparse.train(**settings)

    def kill(event):
        if type(event).__name__ == "StepDone" and event.step == at:
            raise Killed

    with pytest.raises(Killed):
        sparse.train(**settings, run=tmp_path, listeners=[kill])
    again = sparse.train(**settings, run=tmp_path)
    assert equal_weights(whole.model, again.model)
    assert [e.weights for e in whole.history] == [e.weights for e in again.history]


def test_an_auxiliary_task_that_serves_gains_and_one_that_does_not_loses(frame):
    """Auto-lambda: the helper is the main task with other noise, the stranger is noise that shares the trunk."""
    rng = np.random.default_rng(5)
    table = frame.with_columns(
        helper=pl.col("up") + pl.Series(0.1 * rng.normal(size=len(frame))),
        stranger=pl.Series(rng.normal(size=len(frame))),
    )
    tasks = [Regression("up"), Regression("helper", role="auxiliary"), Regression("stranger", role="auxiliary")]
    learner = Learner(
        tasks,
        encoder={"name": "mlp", "width": 16},
        balancer={"name": "auto_lambda", "lr": 0.01, "start": 0.5},
        features=[f"x{i}" for i in range(6)],
        training={"epochs": 15, "lr": 0.05, "optimizer": "sgd", "batch_size": 64, "patience": 0},
    ).fit(table)
    last = learner.history[-1].weights
    assert last["helper"] > 0.55
    assert last["helper"] > last["stranger"] + 0.1


def test_a_learner_keeps_the_name_and_its_fields(frame, tmp_path):
    balancer = {"name": "moml", "lr": 0.01}
    learner = Learner([Binary("yes"), Regression("up")], exclude=["down"], balancer=balancer, training={"epochs": 1})
    learner.fit(frame).save(tmp_path / "model")
    assert load(tmp_path / "model").config.to_json()["balancer"] == balancer


def test_what_cannot_be_is_refused(world):
    with pytest.warns(UserWarning, match="not supported on CPU"), pytest.raises(ConfigError, match="16-mixed"):
        world.train(balancer="moml", precision="16-mixed")
    with pytest.raises(ConfigError, match="BilevelBalancer"):
        Balancer(AutoLambda())
    with pytest.raises(BrokenPromiseError, match="Weigher or a Combiner"):
        check_method(AutoLambda())


def test_both_kinds_stand_in_one_list():
    assert set(NAMES) < set(BALANCERS)
    assert BALANCERS.build({"name": "auto_lambda", "lr": 0.5}) == AutoLambda(lr=0.5)
    assert BALANCERS.config(AutoLambda(lr=0.5)) == {"name": "auto_lambda", "lr": 0.5}
