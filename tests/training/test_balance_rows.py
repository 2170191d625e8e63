"""Weights from a part of the rows, updates from all of them, inside training."""

from __future__ import annotations

import math

import pytest
import torch

from polytask.balancing.balancer import Balancer
from polytask.balancing.contract import Evidence
from polytask.balancing.methods import METHODS
from polytask.balancing.part import draw_rows
from polytask.batch import Batch, Inputs, Targets
from polytask.errors import ConfigError
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import Hard
from polytask.training.options import TrainingOptions
from polytask.training.step import Stepper
from polytask.training.tally import Tally
from polytask.training.trainer import launch, loss_units

LR = 0.5


class Killed(BaseException):
    """Stands for a kill."""


def build(world, balancer="mgda", *, rows=None, norm="none", on="parameters", **options):
    """A stepper around a model whose heads differ from zero."""
    chosen = TrainingOptions(**{"optimizer": "sgd", "momentum": 0.0, "lr": LR, "weight_decay": 0.0} | options)
    torch.manual_seed(1)
    encoder = MLP(width=8, dropout=0.0, norm=norm)
    units = loss_units(world.table, world.targets)
    model = Model(world.schema.spec, world.targets, encoder, Hard(), units)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("heads"):
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    model.train()
    return Stepper(
        launch(chosen),
        model,
        torch.optim.SGD(model.parameters(), lr=LR),
        Balancer(balancer, tasks=model.tasks, rows=rows, on=on),
        task_weights=[1.0] * len(world.targets),
        tally=Tally(model.tasks),
        options=chosen,
        total=10,
    )


def drawn(mask, share):
    """The rows of the first draw of a balancer with seed 0."""
    rng = torch.Generator().manual_seed(0)
    seed = int(torch.randint(2**62, (), generator=rng))
    return draw_rows(mask, share, torch.Generator().manual_seed(seed))


def test_rows_of_a_batch():
    inputs = Inputs(torch.arange(6.0).view(3, 2), torch.arange(3)[:, None], torch.arange(12).view(3, 4), None)
    batch = Batch(inputs, Targets(torch.tensor([[1.0], [2.0], [3.0]]), {"a": slice(0, 1)}), "s")
    part = batch.take(torch.tensor([2, 0]))
    assert part.inputs.numeric.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert part.inputs.categorical.tolist() == [[2], [0]]
    assert part.inputs.values.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert part.targets["a"].tolist() == [[3.0], [1.0]]
    assert (len(part), part.source, part.inputs.mask) == (2, "s", None)


@pytest.mark.parametrize("on", ["parameters", "features"])
def test_weights_are_those_of_the_drawn_rows_and_the_update_is_that_of_all(sparse, on):
    """By hand: task gradients of the drawn rows by autograd, their weights, and the weighted gradient of all rows."""
    batch = sparse.table.batch(torch.arange(80))
    stepper = build(sparse, rows=0.25, on=on)
    model = stepper.model
    shared = list(model.shared_parameters())
    part = batch.take(drawn(stepper._mask(batch), 0.25))
    assert 20 <= len(part) < 40

    outputs = model(part.inputs)
    losses = model.losses(outputs, part.targets).values
    at = shared if on == "parameters" else [outputs.representation.values]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, at, retain_graph=True)]).double() for loss in losses
    ]
    gramian = torch.stack(rows) @ torch.stack(rows).T
    weights = METHODS.build("mgda").weigh(Evidence(losses.detach(), gramian), {}, torch.Generator())[0]

    whole = model.losses(model(batch.inputs), batch.targets).values
    trunk = torch.autograd.grad(weights.float() @ whole, shared, retain_graph=True)
    heads = [p for p in model.parameters() if not any(p is q for q in shared)]
    plain = torch.autograd.grad(whole.sum(), heads)
    before = [p.detach().clone() for p in (*shared, *heads)]
    result = stepper([batch], 0)
    torch.testing.assert_close(result.weights.double(), weights.double(), rtol=1e-4, atol=1e-5)
    for old, now, gradient in zip(before, (*shared, *heads), (*trunk, *plain), strict=True):
        torch.testing.assert_close(now.detach() - old, -LR * gradient, rtol=1e-3, atol=1e-6)


def test_the_second_pass_leaves_no_trace_in_running_statistics(world):
    batch = world.table.batch(torch.arange(64))
    found = {}
    for rows in (None, 0.25):
        stepper = build(world, rows=rows, norm="batch")
        stepper([batch], 0)
        found[rows] = {name: buffer.clone() for name, buffer in stepper.model.named_buffers() if "running" in name}
    assert found[None]
    for name, buffer in found[None].items():
        assert torch.equal(buffer, found[0.25][name])


def test_a_task_with_one_label_in_the_batch_is_in_every_part(world):
    batch = world.table.batch(torch.arange(64))
    batch.targets["up"][1:] = math.nan
    stepper = build(world, rows=0.1)
    for step in range(5):
        result = stepper([batch], step)
        assert result.losses.names == ("yes", "up", "down")
        assert bool(result.weights.isfinite().all())


def test_accumulated_batches_weigh_as_long_gradients_as_they_add(world):
    """Nash's weights are as long as gradients are short: halves of a step have half the gradient, part or whole."""
    rows = torch.arange(80)
    parts = [world.table.batch(rows[:40]), world.table.batch(rows[40:])]
    whole = build(world, "nash_mtl", accumulate=2)(parts, 0).weights
    part = build(world, "nash_mtl", accumulate=2, rows=1.0)(parts, 0).weights
    torch.testing.assert_close(part, whole, rtol=1e-3, atol=1e-4)


def test_weights_are_taken_anew_only_when_they_are_due(world):
    rows = torch.arange(len(world.table))
    steps = []
    world.train(
        balancer="pcgrad",
        train=rows,
        epochs=1,
        batch_size=100,
        balance_every=3,
        balance_rows=0.25,
        listeners=[steps.append],
    )
    found = [event.weights for event in steps if type(event).__name__ == "StepDone"]
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[2], found[3])


@pytest.mark.parametrize("balancer", ["mgda", "nash_mtl"])
def test_it_learns_as_well_as_with_all_rows(world, balancer):
    gains = {
        share: world.train(balancer=balancer, epochs=15, lr=0.01, patience=0, balance_rows=share).history[-1].gain
        for share in (1.0, 0.25)
    }
    assert gains[0.25] > gains[1.0] - 0.05
    assert gains[0.25] > 0.4


def test_losses_do_not_care(world, equal_weights):
    assert equal_weights(world.train().model, world.train(balance_rows=0.25).model)


def test_methods_that_answer_with_an_update_are_refused(world):
    with pytest.raises(ConfigError, match="answers with an update"):
        world.train(balancer="graddrop", balance_rows=0.5)
    with pytest.raises(ConfigError, match=r"balance_rows"):
        TrainingOptions(balance_rows=0.0)


@pytest.mark.parametrize("at", [1, 11])
def test_a_resumed_run_draws_the_same_rows(sparse, equal_weights, tmp_path, at):
    settings = {"balancer": "mgda", "epochs": 2, "checkpoint_steps": 5, "balance_rows": 0.25, "balance_every": 2}
    whole = sparse.train(**settings)

    def kill(event):
        if type(event).__name__ == "StepDone" and event.step == at:
            raise Killed

    with pytest.raises(Killed):
        sparse.train(**settings, run=tmp_path, listeners=[kill])
    again = sparse.train(**settings, run=tmp_path)
    assert equal_weights(whole.model, again.model)
    assert [epoch.gradients for epoch in again.history] == [epoch.gradients for epoch in whole.history]
    assert not equal_weights(whole.model, sparse.train(**settings | {"balance_rows": 1.0}).model)


@pytest.mark.parametrize("balancer", ["modo", "sdmgrad"])
def test_methods_of_independent_samples_are_given_two_halves(sparse, balancer, equal_weights, tmp_path):
    asked = []
    stepper = build(sparse, balancer)
    again = stepper._again
    stepper._again = lambda part, *others: asked.append(len(part)) or again(part, *others)
    stepper([sparse.table.batch(torch.arange(80))], 0)
    assert len(asked) == 2
    assert sum(asked) == 80
    settings = {"balancer": balancer, "epochs": 2, "checkpoint_steps": 5}
    whole = sparse.train(**settings)
    assert whole.history[-1].gain > 0

    def kill(event):
        if type(event).__name__ == "StepDone" and event.step == 7:
            raise Killed

    with pytest.raises(Killed):
        sparse.train(**settings, run=tmp_path, listeners=[kill])
    assert equal_weights(whole.model, sparse.train(**settings, run=tmp_path).model)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_halves_that_lack_tasks_are_done_without(sparse, accumulate):
    batches = [sparse.table.batch(torch.arange(i, i + 30)) for i in (0, 30)[:accumulate]]
    for batch in batches:
        batch.targets["up"][1:] = math.nan
        batch.targets["yes"][:] = math.nan
        batch.targets["down"][2:] = math.nan
        batch.targets["down"][0] = batch.targets["up"][0] = 1.0
    stepper = build(sparse, "modo", accumulate=accumulate)
    result = stepper(batches, 0)
    assert result.losses.names == ("up", "down")
    assert bool(result.weights.isfinite().all())
