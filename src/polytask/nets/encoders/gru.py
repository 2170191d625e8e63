"""The bidirectional recurrent network for sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages, check
from polytask.nets.encoders.sequence import TokenMean, TokenStem


@dataclass(frozen=True)
class GRU(Encoder):
    """Bidirectional gated recurrent layers over a sequence; the mean over its tokens is the representation.

    Tokens that the mask calls unreal come last and change nothing: the backward direction starts at the last real one.

    :param width: D, numbers per token, half of them from each direction; even.
    :param depth: layers.
    :param dropout: share of each layer's outputs dropped in training.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio",
        "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        "EMNLP",
        2014,
    )
    reads = "sequences"

    width: int = 128
    depth: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth"), share=("dropout",))
        if self.width % 2:
            raise ConfigError(f"expected an even width, found {self.width}.", where="width")

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per layer."""
        stem = TokenStem(spec, self.width)
        blocks = (GRULayer(self) for _ in range(self.depth))
        return Stages(stem, blocks, TokenMean(), channels=self.width, width=self.width, stackable=True)


class GRULayer(nn.Module):
    """One layer, both directions: Features ``(N, L, width)``, the same shape out."""

    def __init__(self, options: GRU) -> None:
        super().__init__()
        self.onward = nn.GRU(options.width, options.width // 2, batch_first=True)
        self.backward_ = nn.GRU(options.width, options.width // 2, batch_first=True)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, features: Features) -> Features:
        """Features ``(N, L, width)``; zero at tokens that are not real."""
        values, mask = features.values, features.mask
        if not values.shape[-3]:
            return features
        onward, _ = self.onward(values)
        turned, _ = self.backward_(_turned(values, mask))
        joint = torch.cat([onward, _turned(turned, mask)], -1)
        if mask is not None:
            joint = joint * mask[..., None].to(joint.dtype)
        return Features(self.dropout(joint), mask)


def _turned(values: Tensor, mask: Tensor | None) -> Tensor:
    """Every sequence's real tokens in reverse order, the others in place: ``(..., N, L, D)``."""
    if mask is None:
        return values.flip(-2)
    step = torch.arange(mask.shape[1], device=mask.device)
    place = torch.where(mask, mask.sum(1, keepdim=True) - 1 - step, step)
    return torch.take_along_dim(values, place[..., None].expand(values.shape), -2)
