"""Every way of sharing goes on after a kill to the same weights, bit for bit, in whatever phase it was."""

from __future__ import annotations

import dataclasses

import pytest
import sharing_child
import torch

from polytask.nets.sharing import SHARING
from polytask.training.events import RunStarted, StepDone
from polytask.training.learner import Learner, resume

MORE = {
    "hierarchical-successive": {"name": "hierarchical", "successive_weight": 0.01},  # remembers the trunk of an epoch
    "shared_private-adversarial": {"name": "shared_private", "adversarial_weight": 0.05},
    "dselect_k-rows": {"name": "dselect_k", "per_example": True, "entropy_weight": 0.1},
    "soft-trace_norm": {"name": "soft", "penalty": "trace_norm"},
    "rotograd-burn_in": {"name": "rotograd", "burn_in": 5},
}
"""Options that remember something, or draw something, that defaults do not."""

WAYS = {name: {"name": name} for name in SHARING} | MORE
TRAINING = {"epochs": 5, "batch_size": 32, "lr": 0.02, "patience": 0, "schedule": "cosine"}
TRAINING |= {"checkpoint_steps": 3, "validation_fraction": 0.2}
STEPS = 4
"""Batches of an epoch: 128 rows of 160, the others are for validation."""

KILLED = {"in the first epoch": 3, "in the third epoch": 2 * STEPS + 3, "in the last epoch": 4 * STEPS + 2}
"""Steps done; by defaults these are the warm-up, the search, and what comes behind it, of those that search."""


FAST = {"ltb", "adashare", "multi_level", "hierarchical-successive"}
"""These remember most: they are tried whenever tests run, the others with the slow ones."""


class Killed(BaseException):
    """Stands for a kill."""


def learner(way):
    encoder = sharing_child.ENCODER | {"dropout": 0.2}
    return Learner(sharing_child.TASKS, encoder=encoder, sharing=way, training=TRAINING)


def facts(fitted):
    return [repr(dataclasses.replace(record, seconds=0)) for record in fitted.history]  # NaN is NaN in words


@pytest.fixture(scope="module")
def frame():
    return sharing_child.rows(160, missing=0.3)


@pytest.mark.parametrize(
    "label", [label if label in FAST else pytest.param(label, marks=pytest.mark.slow) for label in WAYS]
)
def test_a_killed_run_goes_on_to_the_same_weights(label, frame, tmp_path):
    whole = learner(WAYS[label]).fit(frame).fitted
    assert whole.history[-1].steps == TRAINING["epochs"] * STEPS
    weights = whole.parts[0].model.state_dict()
    for when, steps in KILLED.items():

        def kill(event, steps=steps):
            if isinstance(event, StepDone) and event.step == steps:
                raise Killed

        with pytest.raises(Killed):
            learner(WAYS[label]).fit(frame, run=tmp_path / when, listeners=[kill])
        events = []
        again = resume(tmp_path / when, frame, listeners=[events.append]).fitted
        begun = next(event for event in events if isinstance(event, RunStarted))
        assert 0 <= begun.step < steps, "it has gone on from before the kill"
        found = again.parts[0].model.state_dict()
        assert found.keys() == weights.keys()
        assert [key for key in found if not torch.equal(found[key], weights[key])] == [], when
        assert facts(again) == facts(whole), when
