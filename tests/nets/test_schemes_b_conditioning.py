"""FiLM, adapters, LoRA, TAPS, AdaShare and feature subsets: identities at the start, published formulas, masks."""

from __future__ import annotations

import math

import pytest
import torch
from nets_fakes import SPEC, TARGETS, make_inputs, make_targets, randomise_heads
from torch import Tensor

from polytask.errors import ConfigError
from polytask.nets.encoders import MLP, Encoder, FTTransformer, ResNet
from polytask.nets.model import Model
from polytask.nets.sharing import TAPS, Adapters, AdaShare, FeatureSubset, FiLM, Hard, LoRA, Sharing
from polytask.nets.sharing.adashare import blend, disagreement, sparsity
from polytask.nets.sharing.conditioned import on_channels
from polytask.nets.sharing.feature_subset import static_masks
from polytask.nets.sharing.film import modulate
from polytask.nets.sharing.lora import merged
from polytask.nets.sharing.straight_through import gumbel_softmax, one_hot, relaxed, step

NAMES = tuple(target.task.name for target in TARGETS)
ROWS = 9
ENCODERS: dict[str, Encoder] = {
    "mlp": MLP(width=8, depth=3, dropout=0.0),
    "resnet": ResNet(width=8, depth=3, hidden_dropout=0.0),
    "ft_transformer": FTTransformer(width=8, depth=3, heads=2, attention_dropout=0.0, hidden_dropout=0.0),
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS.values(), ids=list(ENCODERS))


def model_of(encoder: Encoder, way: Sharing, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = Model(SPEC, TARGETS, encoder, way).eval()
    randomise_heads(model)
    return model


def double(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@every_encoder
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    "way", [FiLM(), Adapters(), LoRA(), TAPS(), AdaShare(), FeatureSubset(learned=True)], ids=lambda w: type(w).__name__
)
def test_the_start_is_hard_sharing(encoder: Encoder, way: Sharing, train: bool) -> None:
    ours, hard, inputs = model_of(encoder, way).train(train), model_of(encoder, Hard()).train(train), make_inputs(ROWS)
    expected = hard.answers(hard(inputs))
    for name, values in ours.answers(ours(inputs)).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", [FiLM(), Adapters(), LoRA(), TAPS(), AdaShare()], ids=lambda w: type(w).__name__)
def test_running_statistics_are_kept_by_task(way: Sharing) -> None:
    ours, hard = (model_of(ENCODERS["resnet"], w).train() for w in (way, Hard()))
    ours(make_inputs(ROWS))
    hard(make_inputs(ROWS))
    for task in NAMES:  # all tasks still agree, so each has what one trunk would have
        state = [v for k, v in ours.sharing.task_state(task).items() if k.startswith("statistics.0.")]
        mean, variance, count = (value[0] for value in state)
        norm = hard.sharing.stages.blocks[0].branch[0]
        torch.testing.assert_close(mean, norm.running_mean)
        torch.testing.assert_close(variance, norm.running_var)
        assert int(count) == 1


def test_film_is_affine() -> None:
    x, gamma, beta = double(1.0, -2.0, 0.5), double(1.5, 0.5, 0.0), double(0.0, 1.0, -1.0)
    assert torch.equal(modulate(x[None, None], gamma[None], beta[None])[0, 0], double(1.5, 0.0, -1.0))
    maps = torch.randn(2, 4, 3, 5, 6)
    scale, shift = torch.randn(2, 3), torch.randn(2, 3)
    expected = maps * scale[:, None, :, None, None] + shift[:, None, :, None, None]
    torch.testing.assert_close(modulate(maps, scale, shift), expected)


@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 4, 3), (2, 4, 5, 3), (2, 4, 3, 5, 6)])
def test_linear_maps_of_channels(shape: tuple[int, ...]) -> None:
    values, weight = torch.randn(shape), torch.randn(2, 7, 3)
    last = values.movedim(2, -1) if values.ndim == 5 else values
    expected = torch.stack([last[min(g, len(last) - 1)] @ weight[g].T for g in range(2)])
    found = on_channels(values, weight)
    torch.testing.assert_close(found.movedim(2, -1) if values.ndim == 5 else found, expected)


def test_lora_adds_a_matrix_of_low_rank() -> None:
    base, a, b = double([[1.0, 0.0], [0.0, 1.0]]), double([[0.5, -0.5]]), double([[2.0], [1.0]])
    weight = merged(base, a, b, 2.0)[0]
    assert torch.equal(weight, double([3.0, -2.0], [1.0, 0.0]))
    assert torch.equal(weight @ double(1.0, 3.0), double(-3.0, 1.0))
    two = torch.randn(2, 2, 4), torch.randn(2, 3, 2)
    plain, stable = (merged(torch.zeros(1, 3, 4), *two, 1.0, stabilised=s) for s in (False, True))
    torch.testing.assert_close(stable, plain * math.sqrt(2))


@every_encoder
def test_the_tasks_of_lora_differ_by_matrices_of_rank_r(encoder: Encoder) -> None:
    model, inputs = model_of(encoder, LoRA(rank=2)), make_inputs(ROWS)
    with torch.no_grad():
        for layer in model.sharing.variation.b:
            layer.values.normal_()
    joint = model.sharing(inputs).values
    for t, task in enumerate(NAMES):
        alone = model_of(encoder, Hard())
        with torch.no_grad():
            parts = [*alone.sharing.stages.blocks, alone.sharing.stages.pool]
            for place, (part, name) in enumerate(model.sharing.trunk.places):
                a, b = (layers[place].values[t] for layers in (model.sharing.variation.a, model.sharing.variation.b))
                own = name.removeprefix("copies.base.").removeprefix("copies.")
                parts[part].get_parameter(own).add_(16.0 / 2 * (b @ a))
        torch.testing.assert_close(joint[:, t], alone.sharing(inputs).values, rtol=1e-3, atol=1e-4)
        assert model.sharing(inputs, (task,)).values.shape == (ROWS, 1, 8)


@pytest.mark.parametrize("way", [Adapters(freeze=True), LoRA(freeze=True), TAPS(freeze=True)], ids=lambda w: str(w)[:4])
def test_a_frozen_trunk_stays_as_it_is(way: Sharing) -> None:
    model = model_of(ENCODERS["mlp"], way).train()
    trunk = [p for p in model.shared_parameters() if not p.requires_grad]
    assert len(trunk) == len(list(model.sharing.shared_parameters())) > 0
    model.losses(model(make_inputs(ROWS)), make_targets(ROWS)).values.sum().backward()
    assert all(p.grad is None for p in trunk)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_taps_takes_its_own_layer_from_the_threshold_on() -> None:
    scores = double(0.15, 0.1, 0.0999).requires_grad_()
    own = step(scores, 0.1)
    base, residual = double(1.0, 1.0), double(0.5, -0.5)
    expected = double([1.5, 0.5], [1.5, 0.5], [1.0, 1.0])
    assert torch.equal(base + own[:, None] * residual, expected)
    (own * double(1.0, 2.0, 3.0)).sum().backward()
    assert torch.equal(scores.grad, double(1.0, 2.0, 3.0))


def test_taps_pays_for_layers_of_its_own_after_the_warm_up() -> None:
    model = model_of(ENCODERS["mlp"], TAPS(sparsity_weight=2.0, warmup=0.5)).train()
    representation = model.sharing(make_inputs(ROWS))
    model.sharing.advance(0.4)
    assert model.sharing.penalty(representation, make_targets(ROWS)) is None
    model.sharing.advance(0.5)
    penalty = model.sharing.penalty(representation, make_targets(ROWS))
    assert float(penalty.detach()) == pytest.approx(2.0 * len(TARGETS) * 0.15)


def test_a_policy_of_adashare() -> None:
    logits, noise = double([2.0, 0.0], [1.0, 3.0]), double([0.1, 0.9], [0.5, -0.2])
    expected = double([0.5597136492671929, 0.44028635073280703], [0.43536370819697084, 0.5646362918030291])
    torch.testing.assert_close(relaxed(logits, noise, 5.0), expected, rtol=1e-12, atol=1e-12)
    to_skip = 2.1269280110429727, 0.12692801104297263
    by_hand = (to_skip[0] * 2 * 0.5 + to_skip[1] * 2 * 1.0) / 2  # heavier for late blocks, mean over blocks
    assert float(sparsity(logits[None])) == pytest.approx(by_hand, rel=1e-12)
    apart = torch.stack([logits, torch.zeros_like(logits)])
    assert float(disagreement(apart)) == pytest.approx(0.5 * 2.0 + 1.0 * 1.0)
    residual, added = double(1.0, 0.5, -3.0), double(0.3, -1.2, 2.0)
    out = blend((residual + added).relu(), residual, *double(0.5597136492671929, 0.44028635073280703))
    published = double(1.1679140947801578, 0.22014317536640352, -1.3208590521984211)
    torch.testing.assert_close(out, published, rtol=1e-12, atol=1e-12)


def test_a_skipped_block_is_not_there() -> None:
    model, inputs = model_of(ENCODERS["resnet"], AdaShare()), make_inputs(ROWS)
    with torch.no_grad():
        model.sharing.policy.values[1, 0, 1] = 5.0  # task b.x skips block 1
    hard = model_of(ENCODERS["resnet"], Hard()).sharing.stages
    features = hard.stem(inputs)
    short = hard.pool(hard.blocks[2](hard.blocks[0](features)))
    values = model.sharing(inputs).values
    torch.testing.assert_close(values[:, 1], short, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values[:, 0], hard(inputs), rtol=1e-4, atol=1e-5)
    found = model.sharing.diagnostics(model.sharing(inputs))
    assert [float(found[f"executed/{name}"]) for name in NAMES] == [1.0, 0.5, 1.0, 1.0]


def test_the_phases_of_adashare() -> None:
    shared = model_of(ENCODERS["mlp"], AdaShare(warmup=0.2, search=0.8)).sharing.train()
    with torch.no_grad():
        shared.policy.values[..., 1] = 3.0
    drawn = {}
    for progress in (0.0, 0.2, 0.5, 0.8):
        shared.advance(progress)
        drawn[progress] = shared._drawn().detach()
        paid = shared.penalty(shared(make_inputs(ROWS)), make_targets(ROWS))
        assert (paid is not None) == (0.2 <= progress < 0.8)
    assert torch.equal(drawn[0.0][..., 0], torch.ones(4, 2))
    assert torch.equal(drawn[0.2][:, 0, 0], torch.ones(4))  # the last block opens first
    assert drawn[0.2].sum(-1).allclose(torch.ones(4, 2))
    torch.manual_seed(0)
    shared.advance(0.5)
    skipped = torch.stack([shared._drawn().detach()[..., 1] for _ in range(200)]).mean(0)
    assert ((skipped > 0.9) & (skipped < 1)).all()  # softmax of (0, 3) skips 95 of 100 times
    assert torch.equal(drawn[0.8][..., 1], torch.ones(4, 2))


def test_one_block_leaves_no_choice() -> None:
    with pytest.raises(ConfigError, match="at least 2 blocks"):
        model_of(MLP(depth=1), AdaShare())


def test_hard_gumbel_samples_follow_the_logits() -> None:
    torch.manual_seed(0)
    p = torch.tensor([0.2, 0.5, 0.3])
    logits = p.log().expand(20000, 3).clone().requires_grad_()
    drawn = gumbel_softmax(logits, 1.0, hard=True)
    assert set(drawn.detach().unique().tolist()) <= {0.0, 1.0}
    spread = (p * (1 - p) / 20000).sqrt()
    assert ((drawn.detach().mean(0) - p).abs() < 4 * spread).all()
    drawn[:, 0].sum().backward()
    assert (logits.grad != 0).any()
    assert one_hot(torch.tensor([1.0, 1.0])).tolist() == [1.0, 0.0]


def test_static_subsets_share_a_block_and_part_the_rest() -> None:
    masks = static_masks(3, 10, 0.4)
    assert torch.equal(masks[:, :4], torch.ones(3, 4))
    assert torch.equal(masks[:, 4:].sum(0), torch.ones(6))
    assert masks.sum(1).tolist() == [6.0, 6.0, 6.0]
    assert static_masks(2, 4, 1.0).tolist() == [[1.0] * 4] * 2
    assert static_masks(4, 2, 0.0).sum(0).tolist() == [1.0, 1.0]
    model = model_of(ENCODERS["mlp"], FeatureSubset(shared=0.5))
    values = model.sharing(make_inputs(ROWS)).values
    trunk = model.sharing.stages(make_inputs(ROWS))
    torch.testing.assert_close(values, trunk[:, None] * static_masks(4, 8, 0.5))


def test_learned_subsets_learn_straight_through() -> None:
    model = model_of(ENCODERS["mlp"], FeatureSubset(learned=True))
    with torch.no_grad():
        model.sharing.masks.scores[0, 0] = 0.0
    representation = model.sharing(make_inputs(ROWS))
    assert not representation.values[:, 0, 0].any()
    representation.values[:, 0].sum().backward()
    gradient = model.sharing.masks.scores.grad
    torch.testing.assert_close(gradient[0], model.sharing.stages(make_inputs(ROWS)).sum(0).detach())
    assert not gradient[1:].any()
    assert float(model.sharing.diagnostics(representation)["features_read/a"]) == pytest.approx(7 / 8)
