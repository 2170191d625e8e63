"""Weights by name, weight decay, and what a model refuses."""

from __future__ import annotations

import pytest
import torch
from nets_fakes import SPEC, TARGETS, coin, encoder_named, make_inputs, make_targets, randomise_heads, spec_for, square

from polytask.errors import RunError, TaskError
from polytask.nets.encoders import ENCODERS, MLP, FTTransformer, ResNet
from polytask.nets.model import Model
from polytask.nets.sharing import Hard


def build(*targets: object, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = Model(SPEC, targets or TARGETS, MLP(width=8), Hard()).eval()
    randomise_heads(model, seed)
    return model


def test_task_state_names_tasks() -> None:
    state = build().task_state()
    heads = {key: tuple(value.shape) for key, value in state.items() if key.startswith("heads.")}
    assert heads == {
        "heads.a.weight": (1, 8),
        "heads.a.bias": (1,),
        "heads.b.x.weight": (2, 8),
        "heads.b.x.bias": (2,),
        "heads.c.weight": (1, 8),
        "heads.c.bias": (1,),
        "heads.d.weight": (2, 8),
        "heads.d.bias": (2,),
    }
    assert {key.split(".", 1)[0] for key in state} == {"heads", "shared"}
    assert all(value.is_contiguous() for value in state.values())


def test_task_state_is_a_copy() -> None:
    model = build()
    state = model.task_state()
    before = {key: value.clone() for key, value in state.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(state[key], before[key]) for key in state)


def test_the_order_of_tasks_does_not_matter_to_their_weights() -> None:
    model, other = build(), build(*reversed(TARGETS), seed=1)
    other.load_task_state(model.task_state())
    inputs = make_inputs(5)
    mine, theirs = model.answers(model(inputs)), other.answers(other(inputs))
    for name, values in mine.items():
        torch.testing.assert_close(theirs[name], values)


def test_a_head_can_be_put_back() -> None:
    model = build()
    inputs = make_inputs(5)
    before = model.answers(model(inputs))
    kept = model.head_state("c")
    assert sorted(kept) == ["heads.c.bias", "heads.c.weight"]
    randomise_heads(model, seed=9)
    model.load_task_state(model.task_state() | kept)
    after = model.answers(model(inputs))
    assert {name: torch.equal(before[name], after[name]) for name in before} == {
        "a": False,
        "b.x": False,
        "c": True,
        "d": False,
    }


def test_loading_is_strict_and_all_or_nothing() -> None:
    model = build()
    state = model.task_state()
    mine = {key: value.clone() for key, value in state.items()}
    other = build(seed=1).task_state()

    with pytest.raises(RunError, match=r"'heads.d.bias' is missing"):
        model.load_task_state({key: value for key, value in other.items() if key != "heads.d.bias"})
    with pytest.raises(RunError, match=r"no weight 'heads.e.bias'"):
        model.load_task_state(other | {"heads.e.bias": torch.zeros(1)})
    with pytest.raises(RunError, match=r"heads.d.bias: expected the shape \(2,\), found \(3,\)"):
        model.load_task_state(other | {"heads.d.bias": torch.zeros(3)})
    with pytest.raises(RunError, match=r"no weight 'shared.more'"):
        model.load_task_state(other | {"shared.more": torch.zeros(3)}, ["a"])
    with pytest.raises(RunError, match="missing"):
        model.load_task_state(build(coin("a")).task_state())
    with pytest.raises(TaskError, match=r"no task 'aa'"):
        model.load_task_state(other, ["aa"])
    assert all(torch.equal(value, mine[key]) for key, value in model.task_state().items())


def test_weights_of_other_tasks_load_where_asked() -> None:
    model, state = build(), build(seed=1).task_state()
    before = model.task_state()
    model.load_task_state(state, ["a", "d"])
    after = model.task_state()
    new = {key for key in after if not torch.equal(after[key], before[key])}
    assert {key for key in new if key.startswith("heads.")} == {
        f"heads.{t}.{p}" for t in "ad" for p in ("weight", "bias")
    }
    assert {key for key in new if key.startswith("shared.")} == {key for key in after if key.startswith("shared.")}


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_parameter_is_in_one_decay_group(name: str) -> None:
    encoder = encoder_named(name)
    model = Model(spec_for(encoder), TARGETS, encoder, Hard())
    decaying, others = model.parameter_groups(0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    together = [id(p) for group in (decaying, others) for p in group["params"]]
    assert sorted(together) == sorted(id(p) for p in model.parameters())


def test_what_decays() -> None:
    def decaying(encoder: object) -> set[str]:
        model = Model(SPEC, TARGETS, encoder, Hard())
        ids = {id(p) for p in model.parameter_groups(0.1)[0]["params"]}
        return {name for name, p in model.named_parameters() if id(p) in ids}

    heads = {"heads.0.weight", "heads.1.weight"}
    stages = "sharing.stages"
    assert decaying(MLP(norm="batch")) == heads | {f"{stages}.blocks.{i}.linear.weight" for i in range(2)}
    assert decaying(ResNet(depth=1)) == heads | {
        f"{stages}.{name}.weight" for name in ("stem.linear", "blocks.0.branch.1", "blocks.0.branch.4")
    }
    assert decaying(FTTransformer(depth=1)) == heads | {
        f"{stages}.blocks.0.{name}.weight" for name in ("qkv", "merge", "gates", "shrink")
    }


def test_what_a_model_refuses() -> None:
    with pytest.raises(TaskError, match="at least one task"):
        Model(SPEC, [], MLP(), Hard())
    with pytest.raises(TaskError, match="two tasks are called 'a'"):
        Model(SPEC, [coin("a"), square("a", 0.0)], MLP(), Hard())
    with pytest.raises(TaskError, match=r"no task 'bx'.*\n.*Did you mean 'b.x'"):
        build().task_parameters("bx")


def test_128_tasks_are_one_product_and_one_loss() -> None:
    small = Model(SPEC, [coin("t0")], MLP(), Hard())
    large = Model(SPEC, [coin(f"t{i}") for i in range(128)], MLP(), Hard())
    assert len(list(small.parameters())) == len(list(large.parameters()))

    def nodes(model: Model) -> int:
        targets = make_targets(4, [coin(name) for name in model.tasks], missing=0)
        queue = [model.losses(model(make_inputs(4)), targets).values.grad_fn]
        seen = set()
        while queue:
            node = queue.pop()
            if node is not None and node not in seen:
                seen.add(node)
                queue += [parent for parent, _ in node.next_functions]
        return len(seen)

    assert nodes(small) == nodes(large) > 10
