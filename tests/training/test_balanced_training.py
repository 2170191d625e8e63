"""Gradient balancing inside training: where tasks are compared, and how often."""

from __future__ import annotations

import pytest
import torch

from polytask.errors import ConfigError
from polytask.nets.sharing import SHARING


def weights(trained):
    return torch.cat([p.detach().flatten() for p in trained.model.parameters()])


def test_methods_that_look_at_losses_do_not_care_where_gradients_are_compared(world):
    plain = world.train(epochs=2)
    at_features = world.train(epochs=2, balance_on="features")
    assert torch.equal(weights(plain), weights(at_features))  # equal weights never look at gradients


@pytest.mark.parametrize("on", ["parameters", "features"])
@pytest.mark.parametrize("every", [1, 5])
def test_gradient_methods_learn_either_way(world, on, every):
    trained = world.train(balancer="cagrad", epochs=15, lr=0.01, balance_on=on, balance_every=every, patience=0)
    assert trained.history[-1].gain > 0.4


def test_reused_weights_change_only_when_they_are_due(world):
    rows = torch.arange(len(world.table))
    steps = []
    world.train(
        balancer="pcgrad",
        train=rows,
        epochs=1,
        batch_size=100,
        balance_every=3,
        listeners=[steps.append],
    )
    found = [event.weights for event in steps if type(event).__name__ == "StepDone"]
    assert len(found) == 6
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[3], found[5])
    assert not torch.equal(found[2], found[3])


def test_features_of_their_own_are_refused(world):
    with pytest.raises(ConfigError, match="features of its own"):
        world.train(balancer="pcgrad", sharing=SHARING.build("mmoe"), balance_on="features")
