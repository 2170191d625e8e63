"""The multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from polytask.batch import Features, InputSpec
from polytask.nets.encoders.encoder import Encoder, Stages, Values, check
from polytask.nets.encoders.layers import ACTIVATIONS, NORMS, Activation, Norm
from polytask.nets.encoders.stem import TableStem


@dataclass(frozen=True)
class MLP(Encoder):
    """Multilayer perceptron: ``depth`` times linear, norm, activation, dropout.

    Linear layers start uniform in ±1/√(inputs), PyTorch's default.

    :param width: D, units of every layer.
    :param depth: layers.
    :param dropout: share of units dropped after each layer in training.
    :param activation: relu, gelu, silu, selu or tanh.
    :param norm: none, layer or batch.
    """

    width: int = 128
    depth: int = 2
    dropout: float = 0.1
    activation: Activation = "relu"
    norm: Norm = "none"

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth"), share=("dropout",))

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per layer."""
        stem = TableStem(spec)
        inputs = [stem.width, *[self.width] * (self.depth - 1)]
        blocks = (Layer(size, self) for size in inputs)
        return Stages(stem, blocks, Values(), channels=stem.width, width=self.width, stackable=True)


class Layer(nn.Module):
    """One layer: Features ``(N, inputs) -> (N, width)``."""

    def __init__(self, inputs: int, options: MLP) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, options.width)
        self.norm = NORMS[options.norm](options.width)
        self.activation = ACTIVATIONS[options.activation]()
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, features: Features) -> Features:
        """Features ``(N, width)``."""
        values: Tensor = self.dropout(self.activation(self.norm(self.linear(features.values))))
        return Features(values, features.mask)
