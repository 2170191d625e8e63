"""Killed at any moment, a run goes on to the same final weights, bit for bit."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import resume_child
import torch
from safetensors.torch import load_file

from polytask.errors import RunError
from polytask.record.run import RunRecord
from polytask.tasks import Binary, Regression
from polytask.training.events import CheckpointSaved, EpochDone, RunStarted, StepDone
from polytask.training.learner import Learner, resume

CHILD = Path(resume_child.__file__)


class Killed(BaseException):
    """Stands for a kill where a real one would cost seconds."""


def options(**changes):
    return {"epochs": 6, "lr": 0.02, "batch_size": 64, "patience": 0} | changes


def learner(**changes):
    encoder = {"name": "mlp", "width": 16, "dropout": 0.2}
    tasks = [Binary("yes"), Regression("up")]
    return Learner(tasks, encoder=encoder, balancer="dwa", exclude=["down"], training=options(**changes))


def kill_after(steps):
    def listen(event):
        if isinstance(event, StepDone) and event.step == steps:
            raise Killed

    return listen


@pytest.mark.parametrize("balancer", ["equal", "uncertainty", "dwa", "rlw", "imtl_l", "gls"])
@pytest.mark.parametrize("at", [1, 11, 17])
def test_stopped_anywhere_and_resumed_is_as_if_never_stopped(world, equal_weights, tmp_path, balancer, at):
    settings = {"balancer": balancer, "epochs": 3, "checkpoint_steps": 5, "accumulate": 1, "schedule": "cosine"}
    whole = world.train(**settings)
    with pytest.raises(Killed):
        world.train(**settings, run=tmp_path, listeners=[kill_after(at)])
    events = []
    again = world.train(**settings, run=tmp_path, listeners=[events.append])
    assert equal_weights(whole.model, again.model)
    assert [dataclasses.replace(r, seconds=0) for r in whole.history] == [
        dataclasses.replace(r, seconds=0) for r in again.history
    ]
    assert events[0].step == {1: 0, 11: 10, 17: 16}[at]  # the newest checkpoint: every 5 steps, and after 8 and 16
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_early_stopping_and_per_task_bests_survive(world, equal_weights, tmp_path):
    settings = {"epochs": 60, "lr": 0.1, "patience": 4, "keep": "per_task"}
    whole = world.train(**settings)
    with pytest.raises(Killed):
        world.train(**settings, run=tmp_path, listeners=[kill_after(whole.steps - 3)])
    again = world.train(**settings, run=tmp_path)
    assert again.best_epoch_per_task == whole.best_epoch_per_task
    assert (again.reason, len(again.history)) == (whole.reason, len(whole.history))
    for one, two in zip(whole.parts, again.parts, strict=True):
        assert one.tasks == two.tasks
        assert equal_weights(one.model, two.model)


def test_a_checkpoint_cut_short_is_never_seen(frame, tmp_path, monkeypatch):
    """The disk fills up while the second checkpoint is written: the first one counts."""
    saved = []

    def fill_disk(event):
        if isinstance(event, CheckpointSaved):
            saved.append(event)
            monkeypatch.setattr(os, "fsync", _full)

    with pytest.raises(RunError, match="No space left"):
        learner().fit(frame, run=tmp_path / "run", listeners=[fill_disk])
    monkeypatch.undo()
    assert len(saved) == 1
    again = resume(tmp_path / "run", frame)
    assert again.predict(frame).equals(learner().fit(frame).predict(frame))


def _full(descriptor):
    raise OSError(28, "No space left on device")


def test_a_finished_run_is_only_read_again(frame, tmp_path):
    fitted = learner().fit(frame, run=tmp_path / "run")
    events = []
    again = resume(tmp_path / "run", frame, listeners=[events.append])
    assert again.predict(frame).equals(fitted.predict(frame))
    assert not any(isinstance(e, StepDone | EpochDone) for e in events)
    assert isinstance(events[0], RunStarted)
    assert len(RunRecord.read(tmp_path / "run").history) == 6


def test_the_data_must_be_what_they_were(frame, tmp_path):
    frame.write_csv(tmp_path / "train.csv")
    with pytest.raises(Killed):
        learner().fit(tmp_path / "train.csv", run=tmp_path / "run", listeners=[kill_after(20)])
    assert RunRecord.read(tmp_path / "run").status == "running"
    whole = learner().fit(tmp_path / "train.csv")
    assert resume(tmp_path / "run").predict(frame).equals(whole.predict(frame))
    record = RunRecord.read(tmp_path / "run")
    assert ([r.epoch for r in record.history], record.status) == ([1, 2, 3, 4, 5, 6], "finished")
    assert pl.read_csv(tmp_path / "run" / "epochs.csv")["epoch"].to_list() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    with pytest.raises(RunError, match="not those that the run began with"):
        resume(tmp_path / "run", frame.with_columns(pl.col("x0") + 1))
    frame[:-1].write_csv(tmp_path / "train.csv")
    with pytest.raises(RunError, match="has changed since the run began"):
        resume(tmp_path / "run")
    (tmp_path / "train.csv").unlink()
    with pytest.raises(RunError, match="not where it was"):
        resume(tmp_path / "run")


def test_frames_must_be_handed_over_again(frame, tmp_path):
    learner(epochs=1).fit(frame, run=tmp_path / "run")
    with pytest.raises(RunError, match="handed over as a frame"):
        resume(tmp_path / "run")
    with pytest.raises(RunError, match="no such folder"):
        resume(tmp_path / "nowhere", frame)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_damaged_checkpoint_is_a_clear_error(frame, tmp_path, name):
    learner(epochs=1).fit(frame, run=tmp_path / "run")
    path = next((tmp_path / "run" / "checkpoints").glob(f"*/{name}"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match="damaged"):
        resume(tmp_path / "run", frame)


def run_child(table, run, out, *, kill_at=None):
    """Run the child, SIGKILL it ``kill_at`` events after it has begun to train; its return code and words."""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", str(CHILD), str(table), str(run), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if kill_at is not None:
        child.stdout.read(kill_at)
        child.send_signal(signal.SIGKILL)  # meanwhile it went on: the kill hits anything, also half-written files
    _, err = child.communicate()
    return child.returncode, err.decode()


def test_a_real_process_killed_at_random_times(make_world, tmp_path):
    """SIGKILL at seeded random times, again and again, then to the end."""
    table, run, out = tmp_path / "train.parquet", tmp_path / "run", tmp_path / "killed.safetensors"
    make_world(rows=1500, missing=0.2).frame.write_parquet(table)
    rng = random.Random(7)
    for _ in range(3):
        code, err = run_child(table, run, out, kill_at=rng.randrange(5, 90))
        assert code == -signal.SIGKILL, err
    assert 20 < RunRecord.read(run).steps < 240
    code, err = run_child(table, run, out)
    assert code == 0, err
    resume_child.main(table, tmp_path / "whole", tmp_path / "whole.safetensors")
    whole, killed = load_file(tmp_path / "whole.safetensors"), load_file(out)
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
