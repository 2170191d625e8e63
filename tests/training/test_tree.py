"""A state tree goes to disk and back unchanged, without pickle."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load, save

from polytask.training.tree import join_tree, split_tree


def round_trip(tree):
    plain, tensors = split_tree(tree)
    return join_tree(json.loads(json.dumps(plain)), load(save(tensors)))


def test_everything_that_a_state_dict_holds():
    shared = torch.arange(6.0).reshape(2, 3).t()  # not contiguous, and used twice
    tree = {"state": {0: {"step": torch.tensor(3.0), "x": shared}, 7: {}}, "lr": [0.1, None, True, "a"], "$x": shared}
    back = round_trip(tree)
    assert list(back["state"]) == [0, 7]
    assert torch.equal(back["state"][0]["x"], shared)
    assert torch.equal(back["$x"], shared)
    assert back["lr"] == [0.1, None, True, "a"]


def test_numbers_keep_their_bits():
    values = [0.1, 1e-320, math.pi, -0.0, math.inf]
    assert [v.hex() for v in round_trip({"v": values})["v"]] == [v.hex() for v in values]
    assert math.isnan(round_trip({"v": math.nan})["v"])
    assert torch.equal(round_trip({"r": torch.get_rng_state()})["r"], torch.get_rng_state())


def test_an_optimizer_goes_on_where_it_stopped():
    def train(parameter, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()

    a = torch.ones(3, requires_grad=True)
    first = torch.optim.AdamW([a], lr=0.1)
    train(a, first, 3)
    b = a.detach().clone().requires_grad_()
    second = torch.optim.AdamW([b], lr=0.1)
    second.load_state_dict(round_trip(first.state_dict()))
    train(a, first, 3)
    train(b, second, 3)
    assert torch.equal(a, b)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="'a/b'"):
        split_tree({"a": {"b": object()}})
