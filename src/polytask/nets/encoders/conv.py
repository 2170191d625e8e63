"""A small residual convolutional network for maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import DataError
from polytask.nets.encoders.encoder import Encoder, Stages, check, given
from polytask.nets.encoders.layers import MapNorm


@dataclass(frozen=True)
class Conv(Encoder):
    r"""Residual convolutions over maps: :math:`\sigma(x + N_2 C_2 \, \sigma(N_1 C_1 x))` per block, then the mean.

    C are 3×3 convolutions, N batch norms, σ is ReLU. The stem is one convolution that brings the map to ``width``
    channels and shrinks it ``stride`` times; all blocks keep that shape, so that they can be mixed between tasks. The
    paper's networks shrink the map between stages too.

    :param width: D, channels of every block.
    :param depth: blocks.
    :param stride: of the stem.
    :param dropout: share of channels dropped after each block in training.
    """

    paper: ClassVar[Paper | None] = Paper(
        "He, Zhang, Ren, Sun", "Deep residual learning for image recognition", "CVPR", 2016
    )
    reads = "maps"

    width: int = 32
    depth: int = 3
    stride: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth", "stride"), share=("dropout",))

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per residual block."""
        if len(spec.shape) != 3 or spec.vocabulary:
            raise DataError(
                f"the encoder 'conv' reads maps of shape (D, H, W), found {_found(spec)}.",
                where="encoder",
                do="Give the network Inputs.of(maps), or choose an encoder of columns ('mlp') or sequences ('gru').",
            )
        blocks = (ConvBlock(self) for _ in range(self.depth))
        stem = ConvStem(spec.shape[0], self)
        return Stages(stem, blocks, GlobalMean(), channels=self.width, width=self.width, stackable=True)


def _found(spec: InputSpec) -> str:
    return f"values of shape {spec.shape}" if spec.shape else "columns of a table"


class ConvStem(nn.Module):
    """Inputs -> Features ``(N, width, H', W')``."""

    def __init__(self, channels: int, options: Conv) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, options.width, 3, stride=options.stride, padding=1, bias=False)
        self.norm = MapNorm(options.width)

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(N, width, H', W')``."""
        return Features(functional.relu(self.norm(self.conv(given(inputs)))))


class ConvBlock(nn.Module):
    """One block: Features ``(N, width, H, W)``, the same shape out."""

    def __init__(self, options: Conv) -> None:
        super().__init__()
        width = options.width
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            MapNorm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            MapNorm(width),
        )
        self.dropout = options.dropout

    def forward(self, features: Features) -> Features:
        """Features ``(N, width, H, W)``."""
        values = functional.relu(features.values + self.branch(features.values))
        if self.dropout and self.training:  # whole channels: neighbouring pixels say the same
            keep = values.new_empty(*values.shape[:-2], 1, 1).bernoulli_(1 - self.dropout)
            values = values * keep / (1 - self.dropout)
        return Features(values)


class GlobalMean(nn.Module):
    """The mean over the map: Features ``(N, D, H, W) -> (N, D)``."""

    def forward(self, features: Features) -> Tensor:
        """``(N, D)``."""
        return features.values.mean((-2, -1))
