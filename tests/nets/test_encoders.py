"""Each encoder against an obvious implementation."""

from __future__ import annotations

import math

import pytest
import torch
from nets_fakes import SPEC, make_inputs
from torch.nn import functional

from polytask.batch import Features, InputSpec
from polytask.errors import ConfigError
from polytask.nets.encoders import ENCODERS, MLP, FTTransformer, ResNet
from polytask.nets.encoders.layers import BatchNorm


def randomise(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def test_mlp_is_layers_in_a_row() -> None:
    stages = MLP(width=7, depth=3, norm="layer", activation="tanh").build(InputSpec(numeric=4)).eval()
    randomise(stages)
    inputs = make_inputs(6, InputSpec(numeric=4))
    x = inputs.numeric
    for layer in stages.blocks:
        x = x @ layer.linear.weight.T + layer.linear.bias
        centred = x - x.mean(1, keepdim=True)
        x = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * layer.norm.weight + layer.norm.bias
        x = torch.tanh(x)
    torch.testing.assert_close(stages(inputs), x)
    assert [tuple(layer.linear.weight.shape) for layer in stages.blocks] == [(7, 4), (7, 7), (7, 7)]


def test_mlp_drops_units_in_training_only() -> None:
    stages = MLP(width=50, depth=1, dropout=0.5, activation="gelu").build(SPEC)
    inputs = make_inputs(40)
    torch.manual_seed(0)
    dropped = (stages(inputs) == 0).float().mean()
    assert 0.4 < float(dropped) < 0.6
    assert not (stages.eval()(inputs) == 0).any()


def test_resnet_adds_its_branches() -> None:
    stages = ResNet(width=6, depth=2, expansion=1.5, norm="layer").build(InputSpec(numeric=4)).eval()
    randomise(stages)
    inputs = make_inputs(5, InputSpec(numeric=4))
    x = functional.linear(inputs.numeric, stages.stem.linear.weight, stages.stem.linear.bias)
    for block in stages.blocks:
        norm, first, _, _, second, _ = block.branch
        assert first.weight.shape == (9, 6)
        hidden = functional.layer_norm(x, (6,), norm.weight, norm.bias) @ first.weight.T + first.bias
        x = x + hidden.clamp(min=0) @ second.weight.T + second.bias
    expected = functional.layer_norm(x, (6,), stages.pool.norm.weight, stages.pool.norm.bias).clamp(min=0)
    torch.testing.assert_close(stages(inputs), expected)


def test_batch_norm_of_one_row_uses_and_keeps_the_running_statistics() -> None:
    norm = BatchNorm(3)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    norm.running_var.fill_(4.0)
    one = norm(torch.tensor([[3.0, 2.0, 1.0]]))
    torch.testing.assert_close(one, torch.tensor([[1.0, 0.0, -1.0]]), rtol=1e-4, atol=1e-5)
    assert norm.running_mean.tolist() == [1.0, 2.0, 3.0]
    two = norm(torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]))
    torch.testing.assert_close(two[1], torch.ones(3), rtol=1e-4, atol=1e-4)
    assert norm.running_mean[0] != 1.0 or norm.running_var[0] != 4.0


def slow_attention(block: torch.nn.Module, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Multi-head attention, one row, head and query at a time."""
    rows, length, width = x.shape
    size = width // block.heads
    query, key, value = (x @ block.qkv.weight.T + block.qkv.bias).split(width, -1)
    out = torch.zeros_like(x)
    for n in range(rows):
        for h in range(block.heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(length):
                scores = torch.stack([query[n, i, part] @ key[n, j, part] for j in range(length)]) / math.sqrt(size)
                if mask is not None:
                    scores = scores.masked_fill(~mask[n], -torch.inf)
                out[n, i, part] = torch.softmax(scores, 0) @ value[n, :, part]
    return out @ block.merge.weight.T + block.merge.bias


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_transformer_block_is_slow_attention_and_reglu(first: bool, masked: bool) -> None:
    stages = FTTransformer(width=12, depth=2, heads=3).build(SPEC).eval()
    block = stages.blocks[0 if first else 1]
    randomise(block)
    x = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool() if masked else None
    got = block(Features(x, mask)).values
    normed = x if first else functional.layer_norm(x, (12,), block.attention_norm.weight, block.attention_norm.bias)
    x = x + slow_attention(block, normed, mask)
    normed = functional.layer_norm(x, (12,), block.hidden_norm.weight, block.hidden_norm.bias)
    linear, gate = (normed @ block.gates.weight.T + block.gates.bias).split(16, -1)  # 4/3 of 12
    x = x + (linear * gate.clamp(min=0)) @ block.shrink.weight.T + block.shrink.bias
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-5)


def test_tokens_by_hand() -> None:
    tokens = FTTransformer(width=8).build(SPEC).stem
    randomise(tokens)
    inputs = make_inputs(3)
    got = tokens(inputs).values
    bins = tokens.encoding(inputs.numeric)  # 4 + 1 + 2 + 1 bins
    w, b, table = tokens.scale, tokens.shift, tokens.table.weight
    columns = [slice(0, 4), slice(4, 5), slice(5, 7), slice(7, 8)]
    torch.testing.assert_close(got[:, 0], b[0].expand(3, 8))
    for i, column in enumerate(columns):
        torch.testing.assert_close(got[:, 1 + i], bins[:, column] @ w[column] + b[1 + i])
    for n in range(3):
        first, second = inputs.categorical[n].tolist()
        torch.testing.assert_close(got[n, 5], table[first] + b[5])
        torch.testing.assert_close(got[n, 6], table[3 + second] + b[6])


def test_class_token_is_read() -> None:
    stages = FTTransformer(width=8, heads=2).build(SPEC)
    values = torch.randn(2, 4, 8)
    expected = functional.layer_norm(values[:, 0], (8,)).clamp(min=0)
    torch.testing.assert_close(stages.pool(Features(values)), expected)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("mlp", "width", 0),
        ("mlp", "depth", 0),
        ("mlp", "dropout", 1.0),
        ("mlp", "dropout", -0.1),
        ("mlp", "activation", "relux"),
        ("mlp", "width", "wide"),
        ("resnet", "expansion", 0.0),
        ("resnet", "norm", "group"),
        ("ft_transformer", "heads", 7),
        ("ft_transformer", "attention_dropout", 1.5),
        ("ft_transformer", "expansion", float("nan")),
    ],
)
def test_wrong_options_name_their_key(name: str, field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        ENCODERS.build({"name": name, field: value}, where="encoder")
    message = str(caught.value)
    assert message.startswith("encoder")
    assert ("heads" if field == "heads" else field) in message
