"""A run that went astray, or is good enough, becomes a model of its best epoch."""

from __future__ import annotations

import pytest
import torch

from polytask.errors import RunError, TrainingError
from polytask.record.run import RunRecord
from polytask.tasks import Regression
from polytask.training.events import EpochDone, StepDone
from polytask.training.learner import Learner, load, resume
from polytask.training.step import Stepper


def diverging(at):
    """Spoils the weights after a step, so that no loss is finite any more."""

    def listen(event):
        if isinstance(event, StepDone) and event.step == at:
            for model in listen.models:
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.fill_(torch.nan)

    listen.models = []
    return listen


@pytest.fixture
def astray(frame, tmp_path, monkeypatch):
    """A run folder whose training stopped by itself in its third epoch, and its first two epochs."""
    init, listen = Stepper.__init__, diverging(15)

    def build(self, *args, **kind):
        init(self, *args, **kind)
        listen.models.append(self.model)

    monkeypatch.setattr(Stepper, "__init__", build)
    learner = Learner(
        [Regression("up")],
        exclude=["yes", "down"],
        encoder={"name": "mlp", "width": 8},
        training={"epochs": 6, "batch_size": 82, "nan_patience": 2, "lr": 0.01},
    )
    with pytest.warns(UserWarning, match="not finite"), pytest.raises(TrainingError, match="--stop-here") as error:
        learner.fit(frame, run=tmp_path / "run", listeners=[listen])
    monkeypatch.undo()
    assert "resume(run, stop_here=True)" in str(error.value)
    return tmp_path / "run"


def test_the_best_epoch_so_far_is_kept(astray, frame, tmp_path):
    before = RunRecord.read(astray)
    assert (before.status, len(before.history)) == ("running", 2)
    events = []
    learner = resume(astray, frame, stop_here=True, listeners=[events.append])
    assert not any(isinstance(event, StepDone | EpochDone) for event in events)
    after = RunRecord.read(astray)
    assert (after.status, after.reason, after.best_epoch) == ("finished", "stopped on request", 2)
    gains = [epoch.gain for epoch in after.history]
    assert learner.best_epoch == 1 + gains.index(max(gains))
    learner.save(tmp_path / "model")
    assert load(tmp_path / "model").predict(frame)["up"].is_finite().all()


def test_without_a_whole_epoch_there_is_nothing_to_keep(frame, tmp_path):
    learner = Learner([Regression("up")], exclude=["yes", "down"], training={"epochs": 2})

    def kill(event):
        if isinstance(event, StepDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner.fit(frame, run=tmp_path / "run", listeners=[kill])
    with pytest.raises(RunError, match="no epoch of it is complete"):
        resume(tmp_path / "run", frame, stop_here=True)
