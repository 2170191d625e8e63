"""Encoders of maps and sequences against obvious implementations."""

from __future__ import annotations

import math

import pytest
import torch
from nets_fakes import SPECS, encoder_named, make_inputs, spec_for
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from polytask.batch import Features, Inputs, InputSpec
from polytask.errors import ConfigError, DataError
from polytask.nets.encoders import ENCODERS, GRU, MLP, Conv, Transformer
from polytask.nets.encoders.sequence import TokenMean, position_code

SEQUENCES = (GRU(width=8), Transformer(width=8))


def test_residual_convolutions_by_hand() -> None:
    torch.manual_seed(0)
    stages = Conv(width=4, depth=1, stride=2).build(SPECS["maps"]).eval()
    inputs = make_inputs(3, SPECS["maps"])
    stem, block = stages.stem, stages.blocks[0]
    unit = math.sqrt(1 + 1e-5)  # running statistics are 0 and 1
    x = functional.conv2d(inputs.values, stem.conv.weight, stride=2, padding=1).clamp(min=0) / unit
    branch = functional.conv2d(x, block.branch[0].weight, padding=1).clamp(min=0) / unit
    x = (x + functional.conv2d(branch, block.branch[3].weight, padding=1) / unit).clamp(min=0)
    assert x.shape == (3, 4, 3, 3)
    torch.testing.assert_close(stages(inputs), x.sum((2, 3)) / 9)


def test_whole_channels_are_dropped() -> None:
    torch.manual_seed(0)
    block = Conv(width=64, depth=1, dropout=0.5).build(SPECS["maps"]).blocks[0]
    values = torch.rand(8, 64, 3, 3) + 1
    kept = block(Features(values)).values.flatten(2)
    empty = (kept == 0).all(-1)
    assert 0.4 < float(empty.float().mean()) < 0.65


def test_both_directions_are_those_of_torch() -> None:
    torch.manual_seed(0)
    layer = GRU(width=8, depth=1, dropout=0.0).build(SPECS["sequences"]).blocks[0]
    both = nn.GRU(8, 4, batch_first=True, bidirectional=True)
    state = dict(layer.onward.state_dict())
    state |= {f"{name}_reverse": value for name, value in layer.backward_.state_dict().items()}
    both.load_state_dict(state)
    values = torch.randn(4, 6, 8)
    lengths = torch.tensor([6, 1, 3, 5])
    mask = torch.arange(6) < lengths[:, None]
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
    torch.testing.assert_close(layer(Features(values, mask)).values, expected)
    torch.testing.assert_close(layer(Features(values)).values, both(values)[0])


@pytest.mark.parametrize("encoder", SEQUENCES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("vectors", [False, True])
def test_padding_changes_nothing(encoder: GRU | Transformer, vectors: bool) -> None:
    spec = InputSpec(numeric=0, shape=(6, 3)) if vectors else SPECS["sequences"]
    torch.manual_seed(0)
    stages = encoder.build(spec).eval()
    values = torch.randn(2, 6, 3) if vectors else torch.randint(0, 7, (2, 6))
    short = Inputs.of(values[:, :4])
    other = values.clone()
    other[:, 4:] = 1
    mask = (torch.arange(6) < 4).expand(2, 6)
    torch.testing.assert_close(stages(Inputs.of(values, mask)), stages(short))
    torch.testing.assert_close(stages(Inputs.of(other, mask)), stages(short))


def test_order_is_seen() -> None:
    for encoder in SEQUENCES:
        stages = encoder.build(SPECS["sequences"]).eval()
        one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[4, 2, 3, 1]])
        assert not torch.allclose(stages(Inputs.of(one)), stages(Inputs.of(other)))


def test_positions_are_sines_and_cosines() -> None:
    code = position_code(3, 4, torch.zeros(1))
    angles = [[p / 10000 ** (i / 4) for i in (0, 2)] for p in range(3)]
    expected = [[math.sin(a), math.cos(a), math.sin(b), math.cos(b)] for a, b in angles]
    torch.testing.assert_close(code, torch.tensor(expected))


def test_the_mean_is_over_real_tokens() -> None:
    values = torch.tensor([[[1.0], [3.0], [100.0]], [[7.0], [7.0], [7.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert TokenMean()(Features(values, mask)).tolist() == [[2.0], [0.0]]


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_encoder_refuses_what_it_cannot_read(name: str) -> None:
    encoder = encoder_named(name)
    for kind, spec in SPECS.items():
        if kind != encoder.reads or name == "hf":  # it reads texts as pieces, and no others
            with pytest.raises(DataError):
                encoder.build(spec)
    encoder.build(spec_for(encoder))


def test_inputs_without_values_are_refused() -> None:
    stages = GRU(width=8).build(SPECS["sequences"])
    with pytest.raises(DataError, match="columns alone"):
        stages(make_inputs(3))


def test_wrong_options_name_their_key() -> None:
    for name, field, value in (("gru", "width", 7), ("transformer", "heads", 3), ("conv", "stride", 0)):
        with pytest.raises(ConfigError, match="width" if name != "conv" else "stride"):
            ENCODERS.build({"name": name, field: value}, where="encoder")


def test_inputs_move_whole() -> None:
    inputs = make_inputs(3, SPECS["sequences"]).to("meta")
    assert inputs.values is not None
    assert inputs.mask is not None
    parts = [part for part in vars(inputs).values() if part is not None]
    assert {part.device.type for part in parts} == {"meta"}
    assert len(inputs) == 3
    assert MLP().reads == "columns"
