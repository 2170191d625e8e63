"""Stacked copies against the copies themselves, one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from nets_fakes import SPECS, encoder_named, make_inputs, spec_for
from torch import nn

from polytask.nets.decay import parameter_groups
from polytask.nets.encoders import ENCODERS, GRU, MLP, Conv, FTTransformer, ResNet, Transformer
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.stacked import StackedStages
from polytask.nets.stacked_layers import Product, StackedLinear

KINDS = {
    "mlp": MLP(width=6, dropout=0.0),
    "mlp with layer norm": MLP(width=6, dropout=0.0, norm="layer"),
    "mlp with batch norm": MLP(width=6, dropout=0.0, norm="batch"),
    "resnet": ResNet(width=6, hidden_dropout=0.0),
    "resnet with layer norm": ResNet(width=6, hidden_dropout=0.0, norm="layer"),
    "transformer": FTTransformer(width=8, depth=2, heads=2, attention_dropout=0.0, hidden_dropout=0.0),
    "convolutions": Conv(width=6, depth=2),
    "recurrent": GRU(width=6, dropout=0.0),
    "transformer over a sequence": Transformer(width=8, dropout=0.0),
}
COPIES, ROWS = 3, 7
CASES = [(kind, way) for kind in KINDS for way in (True, False) if way or kind != "recurrent"]
"""Layer by layer and by vmap; torch.vmap has no rule for recurrent layers."""


def build(encoder: Encoder, *, stackable: bool, own_stem: bool = True) -> tuple[list[Stages], StackedStages]:
    torch.manual_seed(0)
    copies = [encoder.build(spec_for(encoder)) for _ in range(COPIES)]
    for one in copies:
        one.stackable = one.stackable and stackable
        if not own_stem:
            one.stem = copies[0].stem
    return copies, StackedStages(copies, own_stem=own_stem)


@pytest.mark.parametrize("own_stem", [True, False])
@pytest.mark.parametrize(("kind", "stackable"), CASES)
def test_values_gradients_and_statistics_are_those_of_the_copies(kind: str, stackable: bool, own_stem: bool) -> None:
    copies, stacked = build(KINDS[kind], stackable=stackable, own_stem=own_stem)
    inputs = make_inputs(ROWS, SPECS[KINDS[kind].reads])
    weight = torch.randn(COPIES, ROWS, stacked.width, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([one(inputs) for one in copies])
    got = stacked(inputs)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    (expected * weight).sum().backward()
    (got * weight).sum().backward()
    gradients = {name: p.grad for name, p in stacked.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    for i, one in enumerate(copies):
        want = [p.grad for part in (one.stem, *one.blocks, one.pool) for p in part.parameters()]
        if not own_stem:
            want = [p.grad for part in (*one.blocks, one.pool) for p in part.parameters()]
        have = [g[i] for stack in stacked.stacks() for g in (p.grad for p in stack.parameters()) if g is not None]
        assert len(want) == len(have) > 0
        for a, b in zip(have, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
        buffers = {k: v for k, v in one.state_dict().items() if "running" in k or "tracked" in k}
        own = {k.replace("copies.", "").replace("base.", ""): v for k, v in stacked.copy_state(i).items()}
        for key, value in buffers.items():
            if not own_stem and key.startswith("stem."):
                continue
            torch.testing.assert_close(own[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "stackable"), CASES)
def test_some_copies_are_a_slice(kind: str, stackable: bool) -> None:
    _, stacked = build(KINDS[kind], stackable=stackable)
    stacked.eval()
    inputs = make_inputs(ROWS, SPECS[KINDS[kind].reads])
    torch.testing.assert_close(stacked(inputs, [2, 0]), stacked(inputs)[[2, 0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stackable", [True, False])
def test_every_copy_drops_its_own_units(stackable: bool) -> None:
    _, stacked = build(MLP(width=200, depth=1, dropout=0.5, activation="gelu"), stackable=stackable)
    dropped = stacked(make_inputs(5)) == 0
    assert 0.4 < float(dropped.float().mean()) < 0.6
    assert 0.4 < float((dropped[0] != dropped[1]).float().mean()) < 0.6


@pytest.mark.parametrize(("kind", "stackable"), CASES)
def test_copies_and_states_go_round(kind: str, stackable: bool) -> None:
    _, stacked = build(KINDS[kind], stackable=stackable)
    twin = copy.deepcopy(stacked)
    inputs = make_inputs(ROWS, SPECS[KINDS[kind].reads])
    with torch.no_grad():
        for parameter in stacked.parameters():
            parameter.mul_(1.5)
    stacked.eval()
    twin.eval()
    assert not torch.equal(twin(inputs), stacked(inputs))
    twin.load_state_dict(stacked.state_dict())
    assert torch.equal(twin(inputs), stacked(inputs))
    assert all(len(value) == COPIES for value in stacked.state_dict().values())


@pytest.mark.parametrize("stackable", [True, False])
@pytest.mark.parametrize("name", list(ENCODERS))
def test_what_decays_in_a_copy_decays_in_the_stack(name: str, stackable: bool) -> None:
    copies, stacked = build(encoder_named(name), stackable=stackable)

    def numbers(module: nn.Module) -> int:
        return sum(p.numel() for group in parameter_groups(module, 0.1)[:1] for p in group["params"])

    assert numbers(stacked) == COPIES * numbers(copies[0]) > 0


def test_stacked_products_have_the_gradients_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4, 2), (3, 5, 2), (3, 5)]
    given = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(Product.apply, given)
    assert torch.autograd.gradgradcheck(Product.apply, given)


def test_several_gradients_at_once_pass_through_stacked_products() -> None:
    layer = StackedLinear([nn.Linear(4, 3) for _ in range(2)])
    outputs = layer(torch.randn(2, 5, 4))
    directions = torch.randn(6, *outputs.shape)
    parameters = list(layer.parameters())
    joint = torch.autograd.grad(outputs, parameters, directions, retain_graph=True, is_grads_batched=True)
    for i, direction in enumerate(directions):
        for all_of_them, alone in zip(joint, torch.autograd.grad(outputs, parameters, direction, True), strict=True):
            torch.testing.assert_close(all_of_them[i], alone)


def test_gradients_of_stacked_weights_lie_as_the_weights_do() -> None:
    layer = StackedLinear([nn.Linear(4, 3) for _ in range(2)])
    layer(torch.randn(2, 5, 4, requires_grad=True)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.stride() == layer.weight.stride()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(torch.randn(2, 5, 4))
    assert found.dtype == torch.bfloat16
    found.sum().backward()
    assert layer.weight.grad.dtype == torch.float32
