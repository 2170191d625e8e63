"""A balancer stopped at any step and put together again goes on to the same numbers, bit for bit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load, save

from polytask.balancing import METHODS, Balancer, Combiner
from polytask.errors import RunError, UserError

EXAMPLES = {
    "fixed": {"weights": {"a": 1.0, "b": 0.25, "c": 0.0}},
    "gcs": {"main": ["a"]},
    "ol_aux": {"main": ["a"]},
    "cr_mogm": {"method": {"name": "imtl_l", "lr": 0.1}},
}
PRESENT = [("a", "b"), ("b", "a"), ("c",), ("a", "b", "c"), ("c", "b"), ("a",)] * 4


def build(name, **options):
    return Balancer({"name": name, **EXAMPLES.get(name, {})}, seed=5, **options)


def run(balancer, steps, dtype=torch.float32):
    weights = []
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        trunk = torch.randn(5, generator=rng, dtype=dtype).requires_grad_()
        losses = {task: (trunk * torch.randn(5, generator=rng, dtype=dtype)).square().mean() for task in PRESENT[step]}
        found = balancer.backward(losses, shared=[trunk]).weight_values
        weights.append(trunk.grad if isinstance(balancer.method, Combiner) else found)
        if step % 4 == 3:
            balancer.epoch_end()
    return weights


def through_files(state):
    """Tensors as safetensors, the rest as JSON."""
    return {"tensors": load(save(state["tensors"])), "meta": json.loads(json.dumps(state["meta"]))}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("stop", [0, 1, 7, 13])
@pytest.mark.parametrize("name", list(METHODS))
def test_resumes_bit_for_bit(name, stop, every, dtype):
    if every > 1 and issubclass(METHODS.find(name), Combiner):
        pytest.skip("an update cannot be used again")
    straight = run(build(name, every=every), range(len(PRESENT)), dtype)
    first = build(name, every=every)
    head = run(first, range(stop), dtype)
    second = build(name, every=every)
    second.load_state_dict(through_files(first.state_dict()))
    tail = run(second, range(stop, len(PRESENT)), dtype)
    assert all(torch.equal(one, two) for one, two in zip(straight, head + tail, strict=True))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_snapshot_does_not_change_afterwards(name):
    balancer = build(name)
    run(balancer, range(3))
    state = balancer.state_dict()
    kept = {key: tensor.clone() for key, tensor in state["tensors"].items()}
    run(balancer, range(3, 8))
    for key, tensor in kept.items():
        torch.testing.assert_close(state["tensors"][key], tensor, rtol=0, atol=0, equal_nan=True)


def trained(name="uncertainty", **options):
    balancer = build(name, **options)
    run(balancer, range(4))
    return balancer.state_dict()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Balancer("imtl_l"), "expected method .*imtl_l.*found .*uncertainty"),
        (Balancer({"name": "uncertainty", "lr": 0.5}), "expected method .*0.5"),
        (Balancer("uncertainty", every=4), "expected every 4, found 1"),
    ],
)
def test_a_state_of_another_configuration_is_refused(other, says):
    with pytest.raises(RunError, match=says):
        other.load_state_dict(trained())


def test_a_state_of_a_newer_format_is_refused():
    state = trained()
    state["meta"]["format"] = 99
    with pytest.raises(RunError, match="expected format 1, found 99"):
        build("uncertainty").load_state_dict(state)


def test_a_state_with_tasks_that_are_not_there_names_them():
    with pytest.raises(UserError, match=r"state of the balancer: expected tasks among a, bb, c, found 'b'"):
        build("uncertainty", tasks=("a", "bb", "c")).load_state_dict(trained())


@pytest.mark.parametrize("damage", ["missing", "superfluous", "shape", "rng", "meta"])
def test_a_damaged_state_is_refused_and_changes_nothing(damage):
    state = trained()
    tensors = state["tensors"]
    if damage == "missing":
        del tensors["method.s"]
    elif damage == "superfluous":
        tensors["method.t"] = torch.zeros(3)
    elif damage == "shape":
        tensors["method.s"] = torch.zeros(2)
    elif damage == "rng":
        del tensors["rng"]
    else:
        del state["meta"]["tasks"]
    balancer = build("uncertainty")
    named = {"missing": "method.s", "superfluous": "method.t", "shape": r"\(3,\), found \(2,\)", "rng": "rng"}
    with pytest.raises(RunError, match=named.get(damage, "'tasks'")):
        balancer.load_state_dict(state)
    assert balancer.state_dict()["meta"]["tasks"] == []


def test_many_different_subsets_of_tasks_stay_right():
    """More subsets than indices that are kept: 300 random ones of 12 tasks, against one balancer per task."""
    names = [f"t{i}" for i in range(12)]
    together, alone = Balancer("imtl_l"), {name: Balancer("imtl_l") for name in names}
    rng = torch.Generator().manual_seed(0)
    for _ in range(300):
        chosen = [names[i] for i in torch.randperm(12, generator=rng)[:5]]
        losses = {name: (torch.rand((), generator=rng) + 0.1).requires_grad_() for name in chosen}
        step = together.backward(losses)
        for name in chosen:
            assert step.weights[name] == alone[name].backward({name: losses[name]}).weights[name]
