"""Dynamic task prioritisation in training: how well each task is solved, by its metric on training rows."""

from __future__ import annotations

import math

import pytest
import torch

from polytask.training.events import EpochDone, StepDone
from polytask.training.loop import Job
from polytask.training.scoring import forward_rows, metric_value


class Killed(BaseException):
    """Stands for a kill."""


def kill_after(steps):
    def listen(event):
        if isinstance(event, StepDone) and event.step == steps:
            raise Killed

    return listen


def test_the_balancer_is_told_errors_by_metric_over_those_of_the_constant(world, monkeypatch):
    """By hand: 600 rows, so all training rows are judged; the last epoch's model is the one that is kept."""
    told = []
    init = Job.__init__

    def remember(self, *args, **kind):
        init(self, *args, **kind)
        told.append(self)

    monkeypatch.setattr(Job, "__init__", remember)
    trained = world.train(balancer="dtp", epochs=2, validation=torch.arange(0), patience=0)
    (job,) = told
    table = world.table.take(torch.arange(450))
    outputs = forward_rows(trained.model, table)
    for target in world.targets:
        name = target.task.name
        error = target.task.main_metric.error(metric_value(target, outputs[name], table.labels(name)))
        constant = target.bias().float().expand(450, target.outputs)
        reference = target.task.main_metric.error(metric_value(target, constant, table.labels(name)))
        assert job.progress.kpi[name] == pytest.approx(math.exp(-error / reference), rel=1e-5)
        assert job.stepper.kpi[name] == job.progress.kpi[name]


def test_solved_tasks_lose_weight_by_the_metric(world):
    """The weights of an epoch follow from the kpi after the one before: the average moves towards it, step by step."""
    steps = []
    world.train(balancer={"name": "dtp", "alpha": 1.0}, epochs=2, listeners=[steps.append])
    ends = [i for i, event in enumerate(steps) if isinstance(event, EpochDone)]
    second = [event.weights for event in steps[ends[0] :] if isinstance(event, StepDone)]
    assert all(torch.equal(weights, second[0]) for weights in second)  # one kpi for a whole epoch
    first = [event.weights for event in steps[: ends[0]] if isinstance(event, StepDone)]
    assert not torch.equal(first[0], first[-1])  # exp(-loss) of each batch


def test_the_kpi_survives_a_kill(world, equal_weights, tmp_path):
    settings = {"balancer": "dtp", "epochs": 3, "checkpoint_steps": 5}
    whole = world.train(**settings)
    with pytest.raises(Killed):
        world.train(**settings, run=tmp_path, listeners=[kill_after(12)])
    assert equal_weights(whole.model, world.train(**settings, run=tmp_path).model)


def test_others_are_not_judged(world, monkeypatch):
    told = []
    init = Job.__init__
    monkeypatch.setattr(Job, "__init__", lambda self, *args, **kind: (init(self, *args, **kind), told.append(self))[0])
    world.train(balancer="uncertainty", epochs=1)
    world.train(balancer={"name": "cr_mogm", "method": "dtp"}, epochs=1)
    assert (told[0].judge is None, told[1].judge is None) == (True, False)
