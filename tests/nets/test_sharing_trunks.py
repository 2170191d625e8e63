"""Towers, soft sharing, cross-stitch, sluice, NDDR and attention networks against formulas, vectors and identities."""

from __future__ import annotations

import pytest
import torch
from nets_fakes import SPECS, TARGETS, Separate, make_inputs, make_targets
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features
from polytask.errors import ConfigError
from polytask.nets.encoders import GRU, MLP, Conv, Encoder, ResNet
from polytask.nets.sharing import MTAN, NDDR, SHARING, CrossStitch, Shared, Sharing, Sluice, Soft, Towers
from polytask.nets.sharing.channel_rows import Rows
from polytask.nets.sharing.mtan import After
from polytask.nets.sharing.sluice import subspace_overlap
from polytask.nets.sharing.soft import pairwise, to_mean, trace_norm
from polytask.nets.sharing.stitches import Stitch, near_identity

T, ROWS = len(TARGETS), 9
ENCODERS = {
    "mlp": MLP(width=6),
    "resnet": ResNet(width=6),
    "conv": Conv(width=6, depth=2),
    "gru": GRU(width=6),
}


def build(way: Sharing, encoder: Encoder, seed: int = 0) -> Shared:
    torch.manual_seed(seed)
    return way.build(encoder, SPECS[encoder.reads], TARGETS).eval()


def representation(way: Sharing, encoder: Encoder) -> Tensor:
    return build(way, encoder)(make_inputs(ROWS, SPECS[encoder.reads])).values.detach()


@pytest.mark.parametrize("name", list(ENCODERS))
@pytest.mark.parametrize(
    "way",
    [Soft(start="own"), CrossStitch(own=1.0), CrossStitch(own=1.0, per="unit"), Sluice(own=1.0, last=1.0)],
    ids=str,
)
def test_without_exchange_there_are_separate_networks(way: Sharing, name: str) -> None:
    encoder = ENCODERS[name]
    torch.testing.assert_close(representation(way, encoder), representation(Separate(), encoder), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("name", list(ENCODERS))
def test_nddr_without_exchange_is_separate_networks(name: str, shortcut: bool) -> None:
    encoder = ENCODERS[name]
    shared = build(NDDR(own=1.0, shortcut=shortcut), encoder)
    for module in shared.layers.modules():
        if "running_var" in dict(module.named_buffers(recurse=False)):
            module.running_var.fill_(1 - 1e-5)  # the norm adds 1e-5 below its root
    if shortcut:
        with torch.no_grad():
            last = torch.cat([torch.zeros(6, 6), torch.eye(6)], 1)
            shared.shortcut.copies.weight.copy_(last)
    got = shared(make_inputs(ROWS, SPECS[encoder.reads])).values
    torch.testing.assert_close(got, representation(Separate(), encoder), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", [CrossStitch(own=1 / T), Sluice(own=None)], ids=str)
def test_even_coefficients_give_all_tasks_the_same(way: Sharing) -> None:
    values = representation(way, ENCODERS["mlp"])
    torch.testing.assert_close(values, values[:, :1].expand_as(values))


def test_stitch_vector() -> None:
    stitch = Stitch(torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)[:, None, :, None])
    x = torch.tensor([[[1.0, -2.0, 3.0]], [[0.5, 4.0, -1.0]]], dtype=torch.float64)
    expected = [[[0.95, -1.4, 2.6]], [[0.55, 3.4, -0.6]]]
    torch.testing.assert_close(stitch(x, [0, 1]), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(stitch(x, [1])[0], torch.tensor(expected[1], dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 4, 2, 3)])
def test_stitch_mixes_channel_by_channel_and_group_by_group(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, *shape, generator=generator)
    start = torch.randn(3, 2, 3, 2, generator=generator)
    stitch = Stitch(start, channels=4)
    with torch.no_grad():
        stitch.kept.add_(torch.randn(stitch.kept.shape, generator=generator))
    got = stitch(values, [0, 1, 2])
    axis = 2 if len(shape) == 4 else len(shape)
    x, y = values.movedim(axis, -1), got.movedim(axis, -1)
    for t in range(3):
        for channel in range(4):
            g, d = divmod(channel, 2)
            want = sum(stitch.kept[t, g, s, h, d] * x[s, ..., 2 * h + d] for s in range(3) for h in range(2))
            torch.testing.assert_close(y[t, ..., channel], want, rtol=1e-4, atol=1e-5)


def test_near_identity() -> None:
    torch.testing.assert_close(near_identity(3, 0.9), torch.full((3, 3), 0.05) + 0.85 * torch.eye(3))
    torch.testing.assert_close(near_identity(4, 0.3).sum(1), torch.ones(4))
    assert near_identity(1, 0.9).item() == 1.0


@pytest.mark.parametrize("pace", [1.0, 50.0])
def test_pace_is_the_size_of_a_step_of_adam(pace: float) -> None:
    stitch = Stitch(near_identity(2, 0.9)[:, None, :, None], pace=pace)
    before = stitch.coefficients.detach().clone()
    torch.testing.assert_close(before[:, 0, :, 0], near_identity(2, 0.9))
    optimizer = torch.optim.Adam(stitch.parameters(), lr=1e-3, eps=0.0)
    stitch(torch.randn(2, 5, 3), [0, 1]).sum().backward()
    optimizer.step()
    torch.testing.assert_close(
        (stitch.coefficients - before).abs(), torch.full((2, 1, 2, 1), pace * 1e-3), rtol=1e-3, atol=0
    )


def test_units_stand_where_they_are_asked_for() -> None:
    shared = build(CrossStitch(after=(1,), own=0.5), MLP(width=6, depth=3))
    assert set(shared.units) == {"1"}
    private = sum(p.numel() for p in shared.task_parameters("a"))
    assert private == 2 * (6 * 6 + 6) + T * 6  # two layers behind the unit, and a row of it per channel
    with pytest.raises(ConfigError, match=r"blocks from 1 to 2, found \[3\]"):
        build(CrossStitch(after=(3,)), MLP(width=6))


def test_sluice_vectors() -> None:
    matrix = torch.tensor([[1.0, 2, 0], [0, 1, 1], [0, 1, 1], [2, 0, -1]], dtype=torch.float64)
    assert subspace_overlap(matrix[None], 2).item() == pytest.approx(16.0, abs=1e-12)
    two = subspace_overlap(torch.stack([matrix, 2 * matrix]), 2)
    assert two.item() == pytest.approx(16.0 * (1 + 16), abs=1e-10)
    shared = build(Sluice(pace=4.0), MLP(width=6, depth=3))
    with torch.no_grad():
        shared.beta.kept.copy_(torch.tensor([0.2, 0.3, 0.5]).expand(T, 3) / 4)
    states = torch.tensor([[1.0, 0.0], [2.0, 2.0], [-1.0, 4.0]])
    mixed = sum(shared.beta(layer, [1], states[layer][None]) * states[layer] for layer in range(3))
    torch.testing.assert_close(mixed, torch.tensor([[0.3, 2.6]]))


def test_sluice_starts_as_the_paper_says() -> None:
    shared = build(Sluice(), MLP(width=6, depth=3))
    alpha = shared.alpha[0].coefficients.reshape(2 * T, 2 * T)
    torch.testing.assert_close(alpha, near_identity(2 * T, 0.9))
    torch.testing.assert_close(shared.beta.kept * 10, torch.tensor([0.05, 0.05, 0.9]).expand(T, 3))
    even = build(Sluice(own=None, last=None), MLP(width=6, depth=3))
    torch.testing.assert_close(even.alpha[0].coefficients, torch.full((T, 2, T, 2), 1 / (2 * T)))
    torch.testing.assert_close(even.beta.kept * 10, torch.full((T, 3), 1 / 3))


def test_sluice_penalty_is_over_all_blocks_and_tasks() -> None:
    shared = build(Sluice(orthogonality=0.5), MLP(width=6))
    inputs = make_inputs(ROWS)
    weights = [p.detach() for name, p in shared.stages.blocks.named_parameters() if name.endswith("weight")]
    expected = 0.5 * sum(float((w[t, :3].T @ w[t, 3:]).square().sum()) for w in weights for t in range(T))
    assert shared.penalty(shared(inputs), make_targets(ROWS)).item() == pytest.approx(expected, rel=1e-5)
    assert build(Sluice(), MLP(width=6)).penalty(shared(inputs), make_targets(ROWS)) is None
    with pytest.raises(ConfigError, match="divisor of the encoder's width 7"):
        build(Sluice(), MLP(width=7))


def test_soft_vectors() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, -1.0]], dtype=torch.float64).T
    assert to_mean(rows).item() == pytest.approx(1.5, abs=1e-12)
    assert pairwise(rows).item() == pytest.approx(3.0, abs=1e-12)
    assert trace_norm(rows).item() == pytest.approx(6.203492143425981, abs=1e-12)


@pytest.mark.parametrize("tasks", [2, 5])
def test_pairs_and_the_mean_say_the_same(tasks: int) -> None:
    rows = torch.randn(tasks, 7, dtype=torch.float64)
    pairs = sum((rows[s] - rows[t]).square().sum() for t in range(tasks) for s in range(t))
    torch.testing.assert_close(pairwise(rows), pairs)
    torch.testing.assert_close(to_mean(rows), pairs / tasks)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_trace_norm_is_that_of_the_singular_values_and_so_is_its_gradient(scale: float) -> None:
    rows = (scale * torch.randn(4, 9, dtype=torch.float64)).requires_grad_()
    norm = trace_norm(rows)
    expected = torch.linalg.svdvals(rows).sum()
    torch.testing.assert_close(norm, expected)
    (got,), (want,) = torch.autograd.grad(norm, rows), torch.autograd.grad(expected, rows)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)


def test_trace_norm_at_its_kinks() -> None:
    same = torch.tensor([[3.0, 4.0]]).repeat(3, 1).requires_grad_()
    norm = trace_norm(same)
    assert norm.item() == pytest.approx(5 * 3**0.5, rel=1e-6)
    norm.backward()
    torch.testing.assert_close(same.grad, same.detach() / (5 * 3**0.5))
    zero = torch.zeros(3, 2, requires_grad=True)
    trace_norm(zero).backward()
    assert torch.equal(zero.grad, torch.zeros(3, 2))


@pytest.mark.parametrize("penalty", ["pairwise", "mean"])
def test_equal_trunks_cost_nothing(penalty: str) -> None:
    inputs, targets = make_inputs(ROWS), make_targets(ROWS)
    same = build(Soft(penalty=penalty), ENCODERS["resnet"])
    assert same.penalty(same(inputs), targets).item() == pytest.approx(0, abs=1e-9)
    apart = build(Soft(penalty=penalty, weight=2.0, start="own"), ENCODERS["resnet"])
    own = [torch.cat([p.flatten() for p in apart.task_parameters(target.task.name)]) for target in TARGETS]
    expected = 2.0 * sum((own[s] - own[t]).square().sum().item() for t in range(T) for s in range(t))
    expected = expected if penalty == "pairwise" else expected / T
    assert apart.penalty(apart(inputs), targets).item() == pytest.approx(expected, rel=1e-5)
    assert build(Soft(weight=0.0), MLP(width=6)).penalty(same(inputs), targets) is None


def test_towers_by_hand() -> None:
    shared = build(Towers(depth=2, width=5), MLP(width=6))
    inputs = make_inputs(ROWS)
    trunk = shared.stages(inputs)
    layers = [module for module in shared.towers.copies if dict(module.named_parameters())]
    for t, target in enumerate(TARGETS):
        x = trunk
        for layer in layers:
            x = (x @ layer.weight[t].T + layer.bias[t]).clamp(min=0)
        torch.testing.assert_close(shared(inputs).values[:, t], x, rtol=1e-4, atol=1e-5)
        assert sum(p.numel() for p in shared.task_parameters(target.task.name)) == (6 * 5 + 5) + (5 * 5 + 5)


def test_nddr_layer_starts_as_the_paper_says() -> None:
    shared = build(NDDR(own=0.7), MLP(width=6))
    weight = shared.layers[0].copies[0].weight
    for t in range(T):
        for s in range(T):
            share = 0.7 if s == t else 0.1
            torch.testing.assert_close(weight[t, :, 6 * s : 6 * (s + 1)], share * torch.eye(6))
    assert not shared.layers[0].copies[0].bias.any()


def test_nddr_shortcut_starts_as_the_mean_of_all_layers() -> None:
    shared = build(NDDR(own=1.0, shortcut=True), MLP(width=6))
    inputs = make_inputs(ROWS)
    everyone = range(T)
    first = shared.stages.step(0, shared.stages.start(inputs, everyone), everyone)
    unit = (1 + 1e-5) ** 0.5
    one = first.values / unit
    two = shared.stages.step(1, Features(one), everyone).values / unit
    torch.testing.assert_close(shared(inputs).values, ((one + two) / 2).transpose(0, 1), rtol=1e-4, atol=1e-5)


def attention(layers: nn.Sequential, t: int, rows: Tensor) -> Tensor:
    """The mask network of one task, by hand, with the norms as they start."""
    first, _, _, second, _, _ = layers
    unit = (1 + 1e-5) ** 0.5
    hidden = ((rows @ first.weight[t].T + first.bias[t]) / unit).clamp(min=0)
    return torch.sigmoid((hidden @ second.weight[t].T + second.bias[t]) / unit)


def test_attention_by_hand() -> None:
    shared = build(MTAN(), MLP(width=6, depth=3))
    inputs = make_inputs(ROWS)
    unit = (1 + 1e-5) ** 0.5
    for t in range(T):
        u, z = shared.stages.stem(inputs), None
        for block, masks, after in zip(shared.stages.blocks, shared.masks, shared.after, strict=True):
            p = block(u)
            read = u.values if z is None else torch.cat([u.values, z], 1)
            mask = attention(masks.copies, t, read)
            assert ((mask > 0) & (mask < 1)).all()
            z = (((mask * p.values) @ after.mix.weight.T) / unit).clamp(min=0)
            u = p
        torch.testing.assert_close(shared(inputs).values[:, t], z, rtol=1e-4, atol=1e-5)


def test_attention_over_maps_by_hand() -> None:
    shared = build(MTAN(), Conv(width=6, depth=1))
    inputs = make_inputs(ROWS, SPECS["maps"])
    u = shared.stages.stem(inputs)
    p = shared.stages.blocks[0](u).values
    for t in range(T):
        mask = attention(shared.masks[0].copies, t, u.values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        z = functional.conv2d(mask * p, shared.after[0].mix.weight, padding=1) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(shared(inputs).values[:, t], z.clamp(min=0).mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_what_follows_attention_norms_every_task_by_its_own_rows() -> None:
    torch.manual_seed(0)
    after = After(4, is_map=False)
    values = torch.randn(2, 7, 4) * torch.tensor([1.0, 30.0])[:, None, None] + 3
    got = after(Features(values)).values
    statistics = []
    for t in range(2):
        norm = nn.BatchNorm1d(4)
        want = norm(values[t] @ after.mix.weight.T).clamp(min=0)
        torch.testing.assert_close(got[t], want, rtol=1e-4, atol=1e-5)
        statistics.append(norm)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([norm.get_buffer(name) for norm in statistics]).mean(0)
        torch.testing.assert_close(after.norm.get_buffer(name), mean, rtol=1e-4, atol=1e-5)
    kept = after.norm.running_mean.clone()
    assert after(Features(values[:, :1])).values.isfinite().all()
    assert torch.equal(after.norm.running_mean, kept)


@pytest.mark.parametrize("shape", [(3, 4), (3, 5, 4), (3, 4, 2, 5)])
def test_rows_go_there_and_back(shape: tuple[int, ...]) -> None:
    values = torch.randn(2, *shape)
    mask = torch.rand(3, 5) < 0.6 if len(shape) == 3 else None
    rows = Rows.of(Features(values, mask))
    places = 3 if len(shape) == 2 else 30 if mask is None else int(mask.sum())
    assert rows.values.shape == (2, places, 4)
    back = rows.restored(rows.values).values
    torch.testing.assert_close(back, values if mask is None else values * mask[None, ..., None])
    wide = rows.restored(torch.cat([rows.values, rows.values], -1)).values
    assert wide.shape == tuple(8 if size == 4 else size for size in values.shape)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("towers", "depth", 0),
        ("towers", "dropout", 1.0),
        ("soft", "weight", -1.0),
        ("soft", "penalty", "l1"),
        ("cross_stitch", "own", 1.5),
        ("cross_stitch", "pace", 0.0),
        ("sluice", "subspaces", 0),
        ("sluice", "last", -0.1),
        ("nddr", "own", 2.0),
    ],
)
def test_wrong_options_name_their_key(name: str, field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        SHARING.build({"name": name, field: value}, where="sharing")
    message = str(caught.value)
    assert message.startswith("sharing")
    assert field in message
