"""Mixtures of experts: MMoE, CGC, PLE and DSelect-k against slow, obvious forms of themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from nets_fakes import SPEC, TARGETS, make_inputs, make_targets, randomise_heads
from torch import Tensor, nn

from polytask.batch import Features, Inputs
from polytask.errors import ConfigError
from polytask.nets.encoders import MLP, Encoder, FTTransformer, ResNet, Stages
from polytask.nets.model import Model
from polytask.nets.sharing import CGC, PLE, DSelectK, Hard, MMoE, Sharing
from polytask.nets.sharing.dselect_k import (
    binary_codes,
    reachability,
    selection,
    selector_entropy,
    smooth_step,
)
from polytask.nets.sharing.gates import Gate, gate_diagnostics, mix, summary

NAMES = tuple(target.task.name for target in TARGETS)
ROWS = 9
ENCODERS: dict[str, Encoder] = {
    "mlp": MLP(width=8, depth=3, norm="batch"),
    "resnet": ResNet(width=8, depth=3),
    "ft_transformer": FTTransformer(width=8, depth=3, heads=2),
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS.values(), ids=list(ENCODERS))


def model_of(encoder: Encoder, way: Sharing, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = Model(SPEC, TARGETS, encoder, way).eval()
    randomise_heads(model)
    return model


def drawn_alike(encoder: Encoder, count: int, seed: int = 0) -> list[Stages]:
    """The encoders that a scheme draws first from this seed."""
    torch.manual_seed(seed)
    return [encoder.build(SPEC).eval() for _ in range(count)]


def behind(stages: Stages, features: Features) -> Tensor:
    for block in stages.blocks:
        features = block(features)
    return stages.pool(features)


def gate(weight: Tensor, read: Tensor) -> list[Tensor]:
    return list((read @ weight.T).softmax(1).T[:, :, None])


class Fixed(Gate):
    """Gates that do not look."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, read: Tensor, gates: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        return self.weights[list(gates)].expand(len(read), -1, -1), None


def test_a_mixture_of_vectors() -> None:
    experts = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([0.1, -0.4, 0.8], dtype=torch.float64).softmax(0)
    expected = torch.tensor([1.9449466818643344, 0.9411478887656668], dtype=torch.float64)
    found = mix(weights.expand(1, 1, 3), experts[:, None])[0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    rows = mix(weights.expand(2, 1, 3), experts[:, None].expand(3, 2, 2))
    torch.testing.assert_close(rows[:, 0], expected.expand(2, 2), rtol=1e-12, atol=1e-12)


def test_gates_read_vectors_tokens_and_maps() -> None:
    vectors, tokens, maps = torch.randn(2, 3), torch.randn(2, 4, 3), torch.randn(2, 3, 5, 6)
    mask = torch.tensor([[True, True, False, False], [False, False, False, False]])
    assert torch.equal(summary(Features(vectors)), vectors)
    torch.testing.assert_close(summary(Features(tokens)), tokens.sum(1) / 4)
    torch.testing.assert_close(summary(Features(tokens, mask))[0], (tokens[0, 0] + tokens[0, 1]) / 2)
    assert torch.equal(summary(Features(tokens, mask))[1], torch.zeros(3))
    torch.testing.assert_close(summary(Features(maps)), maps.sum((2, 3)) / 30)


@every_encoder
def test_mmoe_is_a_loop_over_experts(encoder: Encoder) -> None:
    model, inputs = model_of(encoder, MMoE(experts=3)), make_inputs(ROWS)
    experts = drawn_alike(encoder, 3)
    stem = experts[0].stem(inputs)
    outputs = [behind(expert, stem) for expert in experts]
    representation = model.sharing(inputs)
    torch.testing.assert_close(representation.side["gates"].sum(-1), torch.ones(ROWS, len(TARGETS)))
    for t, weight in enumerate(model.sharing.gate.weight):
        expected = sum(g * e for g, e in zip(gate(weight, summary(stem)), outputs, strict=True))
        torch.testing.assert_close(representation.values[:, t], expected, rtol=1e-4, atol=1e-5)


@every_encoder
@pytest.mark.parametrize("way", [MMoE(experts=1), MMoE(experts=1, one_gate=True)], ids=["per task", "one gate"])
def test_one_expert_is_hard_sharing(encoder: Encoder, way: Sharing) -> None:
    one, hard, inputs = model_of(encoder, way), model_of(encoder, Hard()), make_inputs(ROWS)
    expected = hard.answers(hard(inputs))
    for name, values in one.answers(one(inputs)).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)


def test_a_gate_that_points_is_routing() -> None:
    model, inputs = model_of(ENCODERS["mlp"], MMoE(experts=3)), make_inputs(ROWS)
    route = [2, 0, 2, 1]
    model.sharing.gate = Fixed(torch.eye(3)[route])
    experts = drawn_alike(ENCODERS["mlp"], 3)
    stem = experts[0].stem(inputs)
    for t, expert in enumerate(route):
        torch.testing.assert_close(model.sharing(inputs).values[:, t], behind(experts[expert], stem))
    model.train()
    model.losses(model(inputs), make_targets(ROWS)).values[0].backward()  # task a, on expert 2
    gradients = model.sharing.experts.blocks[0].copies.linear.weight.grad
    assert [bool(g.abs().sum() > 0) for g in gradients] == [False, False, True]


def test_one_gate_gives_all_tasks_one_vector() -> None:
    model = model_of(ENCODERS["mlp"], MMoE(experts=3, one_gate=True))
    assert model.sharing(make_inputs(ROWS)).is_common
    assert all(not list(model.sharing.task_parameters(name)) for name in NAMES)


@every_encoder
def test_cgc_is_a_loop_over_own_experts(encoder: Encoder) -> None:
    model, inputs = model_of(encoder, CGC(shared_experts=2, task_experts=2)), make_inputs(ROWS)
    experts = drawn_alike(encoder, 2 + 2 * len(TARGETS))
    stem = experts[0].stem(inputs)
    outputs = [behind(expert, stem) for expert in experts]
    values = model.sharing(inputs).values
    for t, weight in enumerate(model.sharing.gate.weight):
        mine = [*outputs[:2], *outputs[2 + 2 * t : 4 + 2 * t]]
        expected = sum(g * e for g, e in zip(gate(weight, summary(stem)), mine, strict=True))
        torch.testing.assert_close(values[:, t], expected, rtol=1e-4, atol=1e-5)


def test_cgc_keeps_private_experts_private() -> None:
    model = model_of(MLP(width=8), CGC())
    losses = model.losses(model(make_inputs(ROWS)), make_targets(ROWS))
    losses.values[losses.names.index("c")].backward()
    private = model.sharing.private.blocks[0].copies.linear.weight.grad
    assert [bool(g.abs().sum() > 0) for g in private] == [name == "c" for name in NAMES]
    assert all(bool(p.grad.abs().sum() > 0) for p in model.sharing.shared.blocks.parameters())


def slow_ple(model: Model, encoder: Encoder, way: PLE, groups: list[list[int]], inputs: Inputs) -> list[Tensor]:
    """PLE as the paper draws it: level by level, expert by expert."""
    built = drawn_alike(encoder, 1 + way.shared_experts + way.task_experts * len(TARGETS))
    shared, private = built[1 : 1 + way.shared_experts], built[1 + way.shared_experts :]
    own = [private[t * way.task_experts : (t + 1) * way.task_experts] for t in range(len(TARGETS))]
    stem = built[0].stem(inputs)
    streams, common = [stem] * len(TARGETS), stem
    for level, blocks in zip(model.sharing.levels, groups, strict=True):

        def run(stages: Stages, features: Features, blocks: list[int] = blocks) -> Tensor:
            for block in blocks:
                features = stages.blocks[block](features)
            return features.values

        def mixed(weight: Tensor, features: Features, outputs: list[Tensor]) -> Features:
            weights = (summary(features) @ weight.T).softmax(1)
            shape = (-1, *[1] * (outputs[0].ndim - 1))
            return Features(sum(weights[:, i].view(shape) * output for i, output in enumerate(outputs)))

        of_all = [run(expert, common) for expert in shared]
        of_own = [[run(expert, streams[t]) for expert in own[t]] for t in range(len(TARGETS))]
        streams = [mixed(level.gate.weight[t], streams[t], of_all + of_own[t]) for t in range(len(TARGETS))]
        if level.common_gate is not None:
            everything = of_all + [output for outputs in of_own for output in outputs]
            common = mixed(level.common_gate.weight[0], common, everything)
    return [own[t][0].pool(streams[t]) for t in range(len(TARGETS))]


@every_encoder
@pytest.mark.parametrize(
    ("way", "groups"),
    [
        (PLE(), [[0], [1], [2]]),
        (PLE(shared_experts=2, task_experts=2, levels=2), [[0, 1], [2]]),
        (PLE(levels=1), [[0, 1, 2]]),
    ],
    ids=["3 levels", "2 levels", "1 level"],
)
def test_ple_is_the_paper_expert_by_expert(encoder: Encoder, way: PLE, groups: list[list[int]]) -> None:
    model, inputs = model_of(encoder, way), make_inputs(ROWS)
    values = model.sharing(inputs).values
    for t, expected in enumerate(slow_ple(model, encoder, way, groups, inputs)):
        torch.testing.assert_close(values[:, t], expected, rtol=1e-4, atol=1e-5)


def test_the_shared_stream_of_ple_reaches_private_experts_below_the_top() -> None:
    model = model_of(MLP(width=8, depth=3), PLE())
    losses = model.losses(model(make_inputs(ROWS)), make_targets(ROWS))
    losses.values[losses.names.index("c")].backward()
    for i, level in enumerate(model.sharing.levels):
        gradient = level.private.copies.get_submodule("0.linear").weight.grad
        reached = [bool(g.abs().sum() > 0) for g in gradient]
        assert reached == [name == "c" or i < 2 for name in NAMES]
    assert model.sharing.levels[-1].common_gate is None


def test_too_many_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 levels"):
        model_of(MLP(depth=2), PLE(levels=3))


Z = torch.tensor([[0.2, -0.1], [-0.6, 0.3]], dtype=torch.float64)
ALPHA = torch.tensor([0.5, -0.5], dtype=torch.float64)


def test_dselect_k_of_four_experts() -> None:
    step = torch.tensor([[0.784, 0.352], [0.0, 0.896]], dtype=torch.float64)
    torch.testing.assert_close(smooth_step(Z, 1.0), step, rtol=1e-9, atol=1e-9)
    r = selection(Z, binary_codes(4), 1.0)
    expected = [[0.139968, 0.076032, 0.508032, 0.275968], [0.104, 0.896, 0.0, 0.0]]
    torch.testing.assert_close(r, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    q = torch.tensor([0.130294714956164, 0.296555359397912, 0.371401151818559, 0.201748773827365], dtype=torch.float64)
    torch.testing.assert_close(ALPHA.softmax(0) @ r, q, rtol=1e-9, atol=1e-9)
    assert float(selector_entropy(r).sum()) == pytest.approx(1.5042524203671774, rel=1e-9)
    assert torch.allclose(r.sum(-1), torch.ones(2, dtype=torch.float64))


def test_dselect_k_of_three_experts() -> None:
    r = selection(Z, binary_codes(3), 1.0)
    expected = [[0.139968, 0.076032, 0.508032], [0.104, 0.896, 0.0]]
    torch.testing.assert_close(r, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert float(reachability(r).sum()) == pytest.approx(2.381154424113851, rel=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
def test_the_smooth_step_is_flat_outside_and_steepest_in_the_middle(gamma: float) -> None:
    t = torch.tensor([-gamma, -gamma / 2, 0.0, gamma / 2, gamma], requires_grad=True)
    step = smooth_step(t, gamma)
    assert step.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    step.sum().backward()
    assert t.grad.tolist() == pytest.approx([0.0, 0.0, 3 / (2 * gamma), 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("experts", [2, 3, 8])
def test_decided_selectors_choose_at_most_k(experts: int, per_example: bool) -> None:
    model = model_of(MLP(width=8), DSelectK(experts=experts, k=2, per_example=per_example))
    with torch.no_grad():
        model.sharing.gate.weight.mul_(1e6)
    gates = model.sharing(make_inputs(ROWS)).side["gates"]
    assert (gates >= 0).all()
    assert int((gates > 0).sum(-1).max()) <= 2
    if experts in (2, 8):
        torch.testing.assert_close(gates.sum(-1), torch.ones(gates.shape[:2]))


def test_dselect_k_selects_by_task_or_by_row() -> None:
    inputs = make_inputs(ROWS)
    assert len(model_of(MLP(width=8), DSelectK()).sharing(inputs).side["gates"]) == 1
    by_row = model_of(MLP(width=8), DSelectK(per_example=True)).sharing(inputs).side["gates"]
    assert len(by_row) == ROWS
    assert not torch.allclose(by_row[0], by_row[1])


def test_regularisers_of_dselect_k() -> None:
    def penalty(way: DSelectK) -> Tensor | None:
        shared = model_of(MLP(width=8), way).sharing
        with torch.no_grad():
            shared.gate.weight.copy_(Z.flatten()[:, None].expand_as(shared.gate.weight))
        return shared.penalty(shared(make_inputs(ROWS)), make_targets(ROWS))

    assert penalty(DSelectK(experts=4, k=2)) is None
    entropies = penalty(DSelectK(experts=4, k=2, entropy_weight=0.5))
    assert float(entropies.detach()) == pytest.approx(0.5 * len(TARGETS) * 1.5042524203671774, rel=1e-5)
    unreachable = penalty(DSelectK(experts=3, k=2))
    assert float(unreachable.detach()) == pytest.approx(len(TARGETS) * 2.381154424113851, rel=1e-5)


def test_a_selector_of_no_expert_poisons_nothing() -> None:
    model = model_of(MLP(width=8), DSelectK(experts=3, k=1))
    with torch.no_grad():
        model.sharing.gate.weight.fill_(5.0)  # code 3, which no expert has
    representation = model.sharing(make_inputs(ROWS))
    penalty = model.sharing.penalty(representation, make_targets(ROWS))
    (penalty + representation.values.sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.sharing.parameters() if p.grad is not None)


def test_diagnostics_tell_a_collapse() -> None:
    uniform = gate_diagnostics(torch.full((5, 2, 4), 0.25), ("a", "b"))
    shares = {f"gate_share/{gate}/{expert}": 0.25 for gate in "ab" for expert in (1, 2, 3, 4)}
    assert {name: float(v) for name, v in uniform.items()} == pytest.approx(
        {"gate_entropy/a": 1.0, "gate_entropy/b": 1.0, "expert_use": 1.0} | shares
    )
    apart = gate_diagnostics(torch.eye(2).expand(5, 2, 2), ("a", "b"), ("left", "right"))
    shares = {"gate_share/a/left": 1, "gate_share/a/right": 0, "gate_share/b/left": 0, "gate_share/b/right": 1}
    assert {name: float(v) for name, v in apart.items()} == pytest.approx(
        {"gate_entropy/a": 0.0, "gate_entropy/b": 0.0, "expert_use": 1.0} | shares
    )
    collapsed = gate_diagnostics(torch.tensor([1.0, 0.0, 0.0]).expand(5, 2, 3), ("a", "b"))
    assert float(collapsed["expert_use"]) == pytest.approx(0.0)
    weights = torch.tensor([0.2762214717954759, 0.16753679151490453, 0.5562417366896195])
    by_hand = -sum(float(w) * math.log(w) for w in weights) / math.log(3)
    assert float(gate_diagnostics(weights.expand(4, 1, 3), ("a",))["gate_entropy/a"]) == pytest.approx(by_hand)


@pytest.mark.parametrize("way", [MMoE(), CGC(), PLE(), DSelectK()], ids=lambda way: type(way).__name__)
def test_every_mixture_tells_the_entropy_of_its_gates(way: Sharing) -> None:
    shared = model_of(MLP(width=8), way).sharing
    found = shared.diagnostics(shared(make_inputs(ROWS)))
    assert {f"gate_entropy/{name}" for name in NAMES} <= set(found)
    assert all(isinstance(v, Tensor) and v.ndim == 0 and 0 <= v <= 1 + 1e-6 for v in found.values())


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (MMoE, "experts", 0),
        (CGC, "shared_experts", 0),
        (CGC, "task_experts", -1),
        (PLE, "levels", -1),
        (DSelectK, "experts", 1),
        (DSelectK, "gamma", 0.0),
        (DSelectK, "entropy_weight", float("nan")),
    ],
)
def test_impossible_options_are_refused(cls: type[Sharing], field: str, value: float) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        cls(**{field: value})
    assert caught.value.where == field


def test_experts_are_modules_of_one_kind() -> None:
    shared = model_of(MLP(width=8), MMoE(experts=5)).sharing
    weights = [p for p in shared.parameters() if p.ndim == 3]
    assert all(len(p) in (5, len(TARGETS)) for p in weights)
    assert not any(isinstance(module, nn.Linear) for module in shared.experts.blocks.modules())
