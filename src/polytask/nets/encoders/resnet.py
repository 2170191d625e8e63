"""The residual network for tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages, check
from polytask.nets.encoders.layers import ACTIVATIONS, NORMS, Activation, Norm
from polytask.nets.encoders.stem import TableStem


@dataclass(frozen=True)
class ResNet(Encoder):
    r"""Residual MLP: every block adds two linear layers of its normalised input to its input.

    Per block :math:`x + \mathrm{drop}(W_2 \, \mathrm{drop}(\sigma(W_1 \, \mathrm{norm}(x))))`.

    A linear layer brings the columns to ``width``; a norm and an activation close the network. Linear layers start
    uniform in ±1/√(inputs), PyTorch's default.

    :param width: D, units between blocks.
    :param depth: blocks.
    :param expansion: hidden units of a block, in multiples of ``width``.
    :param hidden_dropout: share of hidden units dropped in training.
    :param dropout: share of a block's outputs dropped in training.
    :param activation: relu, gelu, silu, selu or tanh.
    :param norm: none, layer or batch.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Gorishniy, Rubachev, Khrulkov, Babenko", "Revisiting deep learning models for tabular data", "NeurIPS", 2021
    )

    width: int = 128
    depth: int = 2
    expansion: float = 2.0
    hidden_dropout: float = 0.15
    dropout: float = 0.0
    activation: Activation = "relu"
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth"), share=("hidden_dropout", "dropout"))
        if not self.expansion * self.width >= 1:
            raise ConfigError(f"expected at least one hidden unit, found {self.expansion} × width.", where="expansion")

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per residual block."""
        blocks = (ResidualBlock(self) for _ in range(self.depth))
        stem = ResNetStem(spec, self.width)
        return Stages(stem, blocks, Closing(self), channels=self.width, width=self.width, stackable=True)


class ResNetStem(nn.Module):
    """The columns, brought to ``width`` by a linear layer: Inputs -> Features ``(N, width)``."""

    def __init__(self, spec: InputSpec, width: int) -> None:
        super().__init__()
        self.table = TableStem(spec)
        self.linear = nn.Linear(self.table.width, width)

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(N, width)``."""
        table: Features = self.table(inputs)
        return Features(self.linear(table.values))


class ResidualBlock(nn.Module):
    """One block: Features ``(N, width) -> (N, width)``."""

    def __init__(self, options: ResNet) -> None:
        super().__init__()
        hidden = round(options.expansion * options.width)
        self.branch = nn.Sequential(
            NORMS[options.norm](options.width),
            nn.Linear(options.width, hidden),
            ACTIVATIONS[options.activation](),
            nn.Dropout(options.hidden_dropout),
            nn.Linear(hidden, options.width),
            nn.Dropout(options.dropout),
        )

    def forward(self, features: Features) -> Features:
        """Features ``(N, width)``."""
        return Features(features.values + self.branch(features.values), features.mask)


class Closing(nn.Module):
    """The norm and activation before the heads: Features -> ``(N, width)``."""

    def __init__(self, options: ResNet) -> None:
        super().__init__()
        self.norm = NORMS[options.norm](options.width)
        self.activation = ACTIVATIONS[options.activation]()

    def forward(self, features: Features) -> Tensor:
        """``(N, width)``."""
        closed: Tensor = self.activation(self.norm(features.values))
        return closed
