"""One optimizer step against slow, obvious calculations."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from polytask.balancing.balancer import Balancer
from polytask.batch import Batch, TaskLosses
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import Hard
from polytask.tasks.task import labelled
from polytask.training.options import TrainingOptions
from polytask.training.step import Stepper
from polytask.training.tally import Tally
from polytask.training.trainer import launch, loss_units

LR = 0.5


def build(world, targets=None, balancer="equal", fabric=None, **options):
    """A stepper around a model whose heads already differ from zero, so that the trunk has gradients."""
    targets = world.targets if targets is None else targets
    chosen = TrainingOptions(**{"optimizer": "sgd", "momentum": 0.0, "lr": LR, "weight_decay": 0.0} | options)
    fabric = fabric or launch(chosen)
    torch.manual_seed(1)
    model = Model(world.schema.spec, targets, MLP(width=8, dropout=0.0), Hard(), loss_units(world.table, targets))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("heads"):
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    model.train()
    return Stepper(
        fabric,
        model,
        torch.optim.SGD(model.parameters(), lr=LR),
        Balancer(balancer, tasks=model.tasks),
        task_weights=[t.task.weight for t in targets],
        tally=Tally(model.tasks),
        options=chosen,
        total=10,
    )


def moved(stepper, batches):
    """The change of every parameter in one step."""
    before = {k: v.clone() for k, v in stepper.model.state_dict().items()}
    result = stepper(batches, 0)
    return {k: v - before[k] for k, v in stepper.model.state_dict().items()}, result


def obvious_losses(model, targets, batch, world):
    """Mean loss over labelled rows, task by task, in units of the constant predictor; the code's own loops unused."""
    answers = model.answers(model(batch.inputs))
    found = {}
    for target in targets:
        name = target.task.name
        rows = labelled(batch.targets[name])
        if rows.any():
            truth = batch.targets[name][rows]
            losses = target.task.row_losses(answers[name][rows][:, None], truth[:, None], {})
            encoded = world.table.labels(name)
            found[name] = losses.mean() / target.reference_loss(encoded[labelled(encoded)])
    return found


def close(one, other, tolerance=1e-6):
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-4, atol=tolerance)


def test_the_update_is_the_gradient_of_the_sum_of_normalised_means(sparse):
    batch = sparse.table.batch(torch.arange(50))
    stepper = build(sparse)
    losses = obvious_losses(stepper.model, sparse.targets, batch, sparse)
    names = [name for name, _ in stepper.model.named_parameters()]
    gradients = torch.autograd.grad(sum(losses.values()), list(stepper.model.parameters()))
    change, result = moved(stepper, [batch])
    close({k: change[k] for k in names}, {k: -LR * g for k, g in zip(names, gradients, strict=True)})
    assert result.losses.names == tuple(losses)
    torch.testing.assert_close(result.losses.values, torch.stack(list(losses.values())).detach())


def test_a_single_task_with_missing_labels_is_the_task_without_these_rows(sparse):
    target = [t for t in sparse.targets if t.task.name == "up"]
    rows = torch.arange(80)
    present = labelled(sparse.table.labels("up"))[:80]
    assert 0 < present.sum() < 80
    with_gaps, _ = moved(build(sparse, target), [sparse.table.batch(rows)])
    dropped, _ = moved(build(sparse, target), [sparse.table.batch(rows[present])])
    close(with_gaps, dropped)


def test_a_task_without_labels_in_the_batch_is_absent(sparse):
    rows = (~labelled(sparse.table.labels("yes"))).nonzero().squeeze(1)
    stepper = build(sparse)
    change, result = moved(stepper, [sparse.table.batch(rows)])
    assert "yes" not in result.losses.names
    head = next(key for key in change if key.startswith("heads") and change[key].shape[0] == 1 and "weight" in key)
    assert not change[head].any()
    assert all(value.isfinite().all() for value in change.values())


def test_a_batch_without_any_label_changes_nothing(world):
    blank = world.table.batch(torch.arange(10))
    blank.targets.values.fill_(math.nan)
    change, result = moved(build(world), [blank])
    assert result.losses is None
    assert result.is_empty
    assert not any(value.any() for value in change.values())


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_two_accumulated_halves_are_one_batch(make_world, missing):
    """Exact for equal weights even when the halves hold different numbers of labels."""
    world = make_world(missing=missing)
    whole, _ = moved(build(world), [world.table.batch(torch.arange(90))])
    stepper = build(world, accumulate=2)
    halves, result = moved(stepper, [world.table.batch(torch.arange(40)), world.table.batch(torch.arange(40, 90))])
    close(whole, halves)
    both = obvious_losses(build(world).model, world.targets, world.table.batch(torch.arange(90)), world)
    torch.testing.assert_close(result.losses.values, torch.stack(list(both.values())).detach())


@pytest.mark.parametrize("balancer", ["equal", "gls", "uncertainty", "dwa"])
def test_a_task_weight_scales_its_gradient_on_top_of_any_balancer(make_world, balancer):
    """The head of the weighted task moves three times as far, nothing else about the heads changes."""
    plain = make_world()
    heavy_tasks = tuple(
        dataclasses.replace(t.task, weight=3.0) if t.task.name == "yes" else t.task for t in plain.targets
    )
    heavy = make_world(tasks=heavy_tasks)
    batch = torch.arange(60)
    one, first = moved(build(plain, balancer=balancer), [plain.table.batch(batch)])
    three, second = moved(build(heavy, balancer=balancer), [heavy.table.batch(batch)])
    assert torch.equal(first.losses.values, second.losses.values) or torch.allclose(
        first.losses.values, second.losses.values, rtol=1e-6
    )
    torch.testing.assert_close(first.weights, second.weights, rtol=1e-5, atol=1e-6)
    for key in (k for k in one if k.startswith("heads")):
        factor = 3.0 if one[key].shape[0] == 1 else 1.0  # "yes" is alone in its group, the regressions share one
        torch.testing.assert_close(three[key], factor * one[key], rtol=1e-4, atol=1e-6)


def poisoned(world, rows, name="up", value=math.inf):
    batch = world.table.batch(rows)
    batch.targets[name][0] = value
    return batch


def test_a_task_whose_loss_is_not_finite_is_left_out_and_the_others_learn(world):
    rows = torch.arange(40)
    change, result = moved(build(world), [poisoned(world, rows)])
    assert result.bad == ("up",)
    assert result.losses.names == ("yes", "down")
    without = [t for t in world.targets if t.task.name != "up"]
    expected = obvious_losses(build(world).model, without, world.table.batch(rows), world)
    torch.testing.assert_close(result.losses.values, torch.stack(list(expected.values())).detach())
    assert all(value.isfinite().all() for value in change.values())
    assert any(value.any() for value in change.values())


def test_nothing_changes_when_every_loss_is_bad(world):
    batch = poisoned(world, torch.arange(40))
    batch = Batch(batch.inputs, batch.targets)
    batch.inputs.numeric[0, 0] = math.nan
    change, result = moved(build(world), [batch])
    assert set(result.bad) == {"yes", "up", "down"}
    assert result.losses is None
    assert not result.is_empty
    assert not any(value.any() for value in change.values())


def test_nothing_changes_when_a_gradient_is_not_finite(world):
    stepper = build(world)
    first = next(stepper.model.parameters())
    hook = first.register_hook(lambda gradient: gradient * math.nan)
    change, result = moved(stepper, [world.table.batch(torch.arange(40))])
    assert result.losses is None
    assert result.bad == ()
    assert not any(value.any() for value in change.values())
    assert all(p.grad is None for p in stepper.model.parameters())
    hook.remove()
    _, result = moved(stepper, [world.table.batch(torch.arange(40))])
    assert result.losses is not None


def test_clipping_shortens_the_whole_gradient(world):
    batch = world.table.batch(torch.arange(60))
    free, _ = moved(build(world), [batch])
    clipped, _ = moved(build(world, clip_norm=0.01), [batch])
    norm = math.sqrt(sum(float(v.square().sum()) for v in free.values())) / LR
    assert norm > 0.01
    close(clipped, {k: v * 0.01 / norm for k, v in free.items()}, 1e-7)


def test_loss_scaling_is_undone_before_clipping_and_an_overflow_is_skipped(world):
    """fp16 with its gradient scaler, here on the CPU: the same clipped update, and a lower scale after an overflow."""
    batch = world.table.batch(torch.arange(60))
    plain, _ = moved(build(world, clip_norm=0.01), [batch])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    stepper = build(world, fabric=fabric, clip_norm=0.01)
    scaled, _ = moved(stepper, [batch])
    close(scaled, plain, 1e-3)
    assert any(value.any() for value in scaled.values())
    next(stepper.model.parameters()).register_hook(lambda gradient: gradient * math.inf)
    change, result = moved(stepper, [batch])
    assert result.losses is None
    assert not any(value.any() for value in change.values())
    assert scaler.get_scale() == 512.0


def test_the_schedule_sets_the_step_size(world):
    batch = world.table.batch(torch.arange(60))
    full, _ = moved(build(world), [batch])
    stepper = build(world, warmup=4)
    quarter, _ = moved(stepper, [batch])
    close(quarter, {k: v / 4 for k, v in full.items()})
    assert stepper.lr == pytest.approx(LR / 4)


def test_the_tally_is_the_mean_over_rows_and_steps():
    tally = Tally(("a", "b"))
    tally.add(TaskLosses(("a", "b"), torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0])), torch.tensor([1.0, 1.0]))
    tally.add(TaskLosses(("a",), torch.tensor([5.0]), torch.tensor([1.0])), torch.tensor([0.0]))
    assert tally.losses() == {"a": 2.0, "b": 2.0}  # (3 * 1 + 1 * 5) / 4
    assert tally.weights() == {"a": 0.5, "b": 1.0}
    tally.clear()
    assert all(math.isnan(v) for v in tally.losses().values())
