"""RotoGrad in a learner: it trains, goes on after a kill, and refuses what cannot be compared."""

from __future__ import annotations

import pytest
import torch

from polytask.errors import ConfigError
from polytask.nets.sharing import SHARING


class Killed(BaseException):
    """Stands for a kill."""


def test_it_learns_and_its_rotations_turn(world):
    trained = world.train(sharing=SHARING.build("rotograd"), epochs=15, lr=0.01, patience=0)
    assert trained.history[-1].gain > 0.4
    assert trained.model.sharing.generators.abs().max() > 0.01


def test_lengths_to_compare_with_survive_a_kill(sparse, equal_weights, tmp_path):
    settings = {"sharing": SHARING.build({"name": "rotograd", "burn_in": 5}), "epochs": 2, "checkpoint_steps": 4}
    whole = sparse.train(**settings)

    def kill(event):
        if type(event).__name__ == "StepDone" and event.step == 7:
            raise Killed

    with pytest.raises(Killed):
        sparse.train(**settings, run=tmp_path, listeners=[kill])
    assert equal_weights(whole.model, sparse.train(**settings, run=tmp_path).model)
    assert torch.isfinite(whole.model.sharing.start).all()


@pytest.mark.parametrize("balancer", ["mgda", "graddrop", "auto_lambda"])
def test_balancers_that_look_at_gradients_are_refused(world, balancer):
    with pytest.raises(ConfigError, match="remakes them"):
        world.train(sharing=SHARING.build("rotograd"), balancer=balancer)
    world.train(sharing=SHARING.build("rotograd"), balancer="uncertainty", epochs=1)
