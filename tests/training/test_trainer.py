"""Whole trainings on tables of known structure."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
import torch

from polytask.errors import TrainingError
from polytask.nets.encoders import MLP
from polytask.tasks import Binary, Regression
from polytask.training.events import CheckpointSaved, EpochDone, LossSkipped, RunFinished, RunStarted, StepDone


def test_it_learns_what_there_is_to_learn(world):
    """yes is a noiseless half-plane, up and down are linear with noise variance 0.09: R2 of 0.978 and 0.917."""
    trained = world.train(epochs=60, lr=1e-2, patience=0)
    best = trained.history[trained.best_epoch - 1]
    assert best.gains["up"] > 0.9
    assert best.gains["down"] > 0.8
    assert best.metric["yes"] > 0.97


def test_the_first_loss_is_one_and_labels_may_be_missing_anywhere(sparse):
    """Heads start at the best constant predictor, so the first batch costs about one unit."""
    steps = []
    trained = sparse.train(listeners=[steps.append], epochs=40, lr=1e-2)
    first = next(e for e in steps if isinstance(e, StepDone))
    assert first.losses.values.tolist() == pytest.approx([1.0, 1.0, 1.0], abs=0.35)
    assert trained.history[-1].gain > 0.7


def test_a_table_larger_by_unlabelled_rows_and_a_missing_task_teaches_the_same(make_world):
    """One task: missing labels are as if the rows were not there, for units, selection and predictions alike."""
    world = make_world(tasks=(Regression("up"),), missing=0.5, rows=400)
    rows = torch.arange(400)
    present = rows[~world.table.labels("up").isnan().squeeze(1)]
    valid = torch.arange(300, 400)
    kept = present[present < 300]
    settings = {"batch_size": 512, "epochs": 15, "lr": 1e-2, "validation": valid}
    with_gaps = world.train(train=torch.arange(300), **settings)
    dropped = world.train(train=kept, **settings)
    for a, b in zip(with_gaps.history, dropped.history, strict=True):
        assert a.train["up"] == pytest.approx(b.train["up"], rel=0.2)  # dropout draws differ
    without_dropout = {**settings, "encoder": MLP(width=16, dropout=0.0)}
    a = world.train(train=torch.arange(300), **without_dropout).history[-1]
    b = world.train(train=kept, **without_dropout).history[-1]
    assert a.validation["up"] == pytest.approx(b.validation["up"], rel=1e-3)
    assert a.train["up"] == pytest.approx(b.train["up"], rel=1e-3)


def test_same_seed_same_weights_and_other_seed_other_weights(world, equal_weights):
    torch.manual_seed(1)
    one = world.train(seed=5)
    torch.manual_seed(2)  # the caller's generator has no influence
    two = world.train(seed=5)
    other = world.train(seed=6)
    assert equal_weights(one.model, two.model)
    assert not equal_weights(one.model, other.model)
    assert [dataclasses.replace(r, seconds=0.0) for r in one.history] == [
        dataclasses.replace(r, seconds=0.0) for r in two.history
    ]


def test_training_leaves_the_callers_generator_alone(world):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    world.train(epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_the_kept_weights_are_those_of_the_best_epoch(world, equal_weights):
    """Training again up to that epoch gives the same model."""
    long = world.train(epochs=25, lr=0.05, patience=0)
    assert long.best_epoch < 25
    short = world.train(epochs=long.best_epoch, lr=0.05, patience=0)
    assert short.best_epoch == long.best_epoch
    assert equal_weights(long.model, short.model)
    gains = [r.gain for r in long.history]
    assert long.best_epoch == 1 + int(np.argmax(gains))


def test_per_task_models_are_each_of_their_own_best_epoch(world, equal_weights):
    each = world.train(epochs=20, lr=0.05, patience=0, keep="per_task")
    epochs = each.best_epoch_per_task
    assert len(set(epochs.values())) > 1
    assert {part.name: set(part.tasks) for part in each.parts} == {
        f"epoch-{e}": {t for t in epochs if epochs[t] == e} for e in set(epochs.values())
    }
    for name, epoch in epochs.items():
        assert epoch == 1 + int(np.argmax([r.gains[name] for r in each.history]))
        # The weights after that epoch, from a run that had it as its last.
        last = world.train(epochs=epoch, lr=0.05, patience=0, validation_fraction=0.0, validation=torch.arange(0))
        part = next(p for p in each.parts if name in p.tasks)
        assert equal_weights(part.model, last.model)


def test_early_stopping_waits_for_patience_epochs(world):
    trained = world.train(epochs=200, lr=0.1, patience=3)
    assert len(trained.history) == trained.best_epoch + 3
    assert trained.reason == "no better epoch for 3 epochs"


def test_without_validation_the_last_epoch_is_kept(world):
    trained = world.train(epochs=4, validation=torch.arange(0), patience=1)
    assert (trained.best_epoch, len(trained.history), trained.best_epoch_per_task) == (4, 4, {})
    assert math.isnan(trained.history[0].gain)


def test_max_steps_counts_optimizer_steps(world):
    trained = world.train(epochs=50, max_steps=10, patience=0)  # 450 rows: 8 steps an epoch
    assert (trained.steps, len(trained.history), trained.reason) == (10, 2, "max_steps reached")
    assert world.train(epochs=2, accumulate=3, patience=0).steps == 6  # 3 + 3 + 2 batches


def test_events_tell_the_story_in_order(world):
    events = []
    world.train(epochs=2, listeners=[events.append])
    kinds = [type(e) for e in events]
    assert kinds == [RunStarted, *([StepDone] * 8 + [EpochDone]) * 2, RunFinished]
    assert [e.step for e in events if isinstance(e, StepDone)] == list(range(1, 17))
    assert CheckpointSaved not in kinds


def test_gains_by_metric_are_relative_to_the_constant_predictor(world):
    """A constant predictor has AUC 1/2; RMSE of the training mean is about the deviation of the labels."""
    trained = world.train(epochs=3, lr=1e-2, select_by="metric")
    record = trained.history[-1]
    assert record.gains["yes"] == pytest.approx(1 - (1 - record.metric["yes"]) / 0.5)
    up = world.frame["up"].to_numpy()
    constant = np.sqrt(np.mean((up[450:] - up[:].mean()) ** 2))
    assert record.gains["up"] == pytest.approx(1 - record.metric["up"] / constant, abs=1e-5)
    assert record.gain == pytest.approx(np.mean([record.gains[n] for n in ("yes", "up", "down")]))


def test_the_metric_that_a_task_names_is_the_one_that_selects(make_world):
    world = make_world(tasks=(Binary("yes", metric="accuracy"), Regression("up", metric="mae")))
    record = world.train(epochs=3, select_by="metric").history[-1]
    majority = max(float(world.frame["yes"][450:].mean()), 1 - float(world.frame["yes"][450:].mean()))
    share = float(world.frame["yes"].mean())
    constant = majority if (share >= 0.5) == (float(world.frame["yes"][450:].mean()) >= 0.5) else 1 - majority
    assert record.gains["yes"] == pytest.approx(1 - (1 - record.metric["yes"]) / (1 - constant))
    assert 0 < record.metric["up"] < 3


def test_auxiliary_tasks_and_weights_have_no_say_in_the_choice(make_world):
    tasks = (Binary("yes"), Regression("up", role="auxiliary"), Regression("down", weight=5.0))
    record = make_world(tasks=tasks).train(epochs=2).history[-1]
    assert record.gain == pytest.approx((record.gains["yes"] + record.gains["down"]) / 2)


def test_a_task_weight_moves_training_towards_that_task(make_world):
    """With a tiny trunk and few steps, the task with a hundredfold weight is learned better than without."""

    def gain(weight):
        world = make_world(tasks=(Binary("yes"), Regression("up", weight=weight), Regression("down")))
        return world.train(epochs=2, lr=1e-3, optimizer="sgd", momentum=0.0).history[-1].gains["up"]

    assert gain(100.0) > gain(1.0) + 0.05


def test_raw_losses_on_request(make_world):
    frame = make_world().frame.with_columns(pl.col("up") * 1000)
    world = make_world(frame)
    raw = world.train(epochs=1, normalise_losses=False, lr=1e-6).history[0]
    assert raw.train["yes"] == pytest.approx(math.log(2), abs=0.02)  # cross-entropy of a coin
    assert world.train(epochs=1, lr=1e-6).history[0].train["yes"] == pytest.approx(1.0, abs=0.02)


def infinite(world, task, rows):
    world.table.targets[task][rows] = math.inf


def test_a_loss_that_is_not_finite_is_skipped_counted_and_named(world):
    infinite(world, "up", slice(0, 2))
    events = []
    with pytest.warns(UserWarning, match="loss of task 'up' is not finite"):
        trained = world.train(epochs=2, listeners=[events.append], validation=torch.arange(450, 600), nan_patience=9)
    skips = [e for e in events if isinstance(e, LossSkipped)]
    assert {e.task for e in skips} == {"up"}
    assert sum(r.skipped.get("up", 0) for r in trained.history) == len(skips)
    assert 2 <= len(skips) <= 4  # two rows, each once an epoch
    assert all(p.isfinite().all() for p in trained.model.parameters())
    assert all(math.isfinite(r.train["up"]) for r in trained.history)


def test_a_task_that_never_is_finite_stops_the_run_with_advice(world, tmp_path):
    infinite(world, "down", slice(0, 450))
    with (
        pytest.warns(UserWarning, match="task 'down'"),
        pytest.raises(TrainingError, match="task 'down' was not finite in 4 steps in a row") as caught,
    ):
        world.train(nan_patience=4, run=tmp_path)
    assert "clip_norm" in str(caught.value)
    assert "epoch 1, step 4" in str(caught.value)


def test_an_exploding_run_stops_and_keeps_its_last_checkpoint(world, tmp_path):
    """A learning rate of 1e30 overflows float32 by itself: a real divergence, no planted value."""
    with pytest.warns(UserWarning, match="not finite"), pytest.raises(TrainingError, match="in a row"):
        world.train(lr=1e30, epochs=50, patience=0, run=tmp_path, nan_patience=5)
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(".tmp" in p.name for p in left)


def test_one_row_batches_and_more_rows_than_the_table(world):
    assert world.train(epochs=1, batch_size=1, train=torch.arange(5)).steps == 5
    assert world.train(epochs=1, batch_size=10_000).steps == 1


def test_threads_are_put_back(world):
    before = torch.get_num_threads()
    world.train(epochs=1, threads=before + 1)
    assert torch.get_num_threads() == before


def test_small_models_train_on_one_thread_and_large_ones_on_all(world, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    world.train(epochs=1)
    world.train(epochs=1, encoder=MLP(width=512), batch_size=450)  # 0.27 million parameters, 120 million products
    world.train(epochs=1, threads=3)
    assert chosen == [1, 7, 7, 7, 3, 7]


def test_mixed_precision_learns_too(world):
    trained = world.train(epochs=30, lr=1e-2, precision="bf16-mixed")
    assert trained.history[trained.best_epoch - 1].gain > 0.6
    assert all(p.dtype == torch.float32 for p in trained.model.parameters())


@pytest.mark.parametrize("balancer", ["equal", "uncertainty", "dwa", "gls", "rlw", "imtl_l", "log"])
def test_every_balancer_learns(world, balancer):
    trained = world.train(epochs=25, lr=1e-2, balancer=balancer)
    assert trained.history[trained.best_epoch - 1].gain > 0.5
