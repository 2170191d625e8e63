"""The transformer for sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polytask.batch import Features, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages, check
from polytask.nets.encoders.ft_transformer import FTTransformer, TransformerBlock
from polytask.nets.encoders.sequence import TokenMean, TokenStem


@dataclass(frozen=True)
class Transformer(Encoder):
    """Transformer over a sequence with sines and cosines as positions; the mean over its tokens is the representation.

    Blocks are those of ``ft_transformer``: pre-norm, with a ReGLU feed-forward network. The paper's are post-norm with
    ReLU. Tokens that the mask calls unreal are not attended to.

    :param width: D, numbers per token; a multiple of ``heads``.
    :param depth: blocks.
    :param heads: attention heads.
    :param expansion: hidden units of the feed-forward network, in multiples of ``width``.
    :param dropout: share of attention weights, hidden units and branches dropped in training.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin",
        "Attention is all you need",
        "NeurIPS",
        2017,
    )
    reads = "sequences"

    width: int = 128
    depth: int = 2
    heads: int = 4
    expansion: float = 2.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check(self, positive=("depth",), share=("dropout",))
        self._blocks()

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per transformer block."""
        options = self._blocks()
        stem = TokenStem(spec, self.width, positions=True)
        blocks = (TransformerBlock(options, first=False) for _ in range(self.depth))
        return Stages(stem, blocks, NormedMean(self.width), channels=self.width, width=self.width, stackable=True)

    def _blocks(self) -> FTTransformer:
        """The options of the blocks; wrong ones are refused there, under the same names."""
        return FTTransformer(
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            expansion=self.expansion,
            attention_dropout=self.dropout,
            hidden_dropout=self.dropout,
            dropout=self.dropout,
        )


class NormedMean(nn.Module):
    """A norm, then the mean over real tokens: Features ``(N, L, D) -> (N, D)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mean = TokenMean()

    def forward(self, features: Features) -> Tensor:
        """``(N, D)``."""
        mean: Tensor = self.mean(Features(self.norm(features.values), features.mask))
        return mean
