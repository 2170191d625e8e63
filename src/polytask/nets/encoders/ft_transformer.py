"""The feature-tokeniser transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError
from polytask.nets.encoders.encoder import Encoder, Stages, check
from polytask.nets.encoders.stem import PiecewiseLinear, numeric_edges


@dataclass(frozen=True)
class FTTransformer(Encoder):
    """Transformer over one token per column and a [CLS] token that becomes the representation.

    Blocks are pre-norm (the first has no norm before its attention), with a ReGLU feed-forward network.

    :param width: D, numbers per token; a multiple of ``heads``.
    :param depth: blocks.
    :param heads: attention heads.
    :param expansion: hidden units of the feed-forward network, in multiples of ``width``.
    :param attention_dropout: share of attention weights dropped in training.
    :param hidden_dropout: share of hidden units of the feed-forward network dropped in training.
    :param dropout: share of each branch's output dropped in training.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Gorishniy, Rubachev, Khrulkov, Babenko", "Revisiting deep learning models for tabular data", "NeurIPS", 2021
    )

    width: int = 192
    depth: int = 3
    heads: int = 8
    expansion: float = 4 / 3
    attention_dropout: float = 0.2
    hidden_dropout: float = 0.1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth", "heads"), share=("attention_dropout", "hidden_dropout", "dropout"))
        if self.width % self.heads:
            raise ConfigError(
                f"expected a multiple of heads={self.heads}, found {self.width}.",
                where="width",
                do=f"The nearest one is {max(1, round(self.width / self.heads)) * self.heads}.",
            )
        if not self.expansion * self.width >= 1:
            raise ConfigError(f"expected at least one hidden unit, found {self.expansion} × width.", where="expansion")

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per transformer block."""
        blocks = (TransformerBlock(self, first=i == 0) for i in range(self.depth))
        stem, pool = Tokens(spec, self.width), ClassToken(self.width)
        return Stages(stem, blocks, pool, channels=self.width, width=self.width, stackable=True)


class Tokens(nn.Module):
    r"""Inputs -> Features ``(N, 1 + F + C, D)``: [CLS], one token per numeric column, one per categorical column.

    A numeric column with bins :math:`e` (its value alone without bins) becomes :math:`\sum_t e_t w_t + b`; a category
    becomes its embedding plus :math:`b`. All start uniform in ±1/√D, as in the paper.
    """

    offsets: Tensor
    pieces: Tensor

    def __init__(self, spec: InputSpec, width: int) -> None:
        super().__init__()
        if not spec.numeric + len(spec.cardinalities):
            raise DataError("the table has no feature column.", where="schema", do="Exclude fewer columns.")
        edges = numeric_edges(spec)
        self.encoding = PiecewiseLinear(edges) if any(edges) else None
        sizes = torch.tensor(self.encoding.sizes if self.encoding else [1] * spec.numeric, dtype=torch.long)
        total = int(sizes.sum())
        # Row f lists the bins of column f, padded with the number of bins: the place of a zero.
        steps = torch.arange(int(sizes.max()) if len(sizes) else 1)
        pieces = torch.where(steps < sizes[:, None], (sizes.cumsum(0) - sizes)[:, None] + steps, total)
        self.register_buffer("pieces", pieces, persistent=False)
        self.scale = nn.Parameter(torch.empty(total, width))
        self.shift = nn.Parameter(torch.empty(1 + spec.numeric + len(spec.cardinalities), width))
        cardinalities = torch.tensor(spec.cardinalities, dtype=torch.long)
        self.register_buffer("offsets", cardinalities.cumsum(0) - cardinalities, persistent=False)
        self.table = nn.Embedding(int(cardinalities.sum()), width) if len(cardinalities) else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(N, 1 + F + C, D)``."""
        tokens = [self.shift.new_zeros(len(inputs), 1, self.shift.shape[1]), self._numeric(inputs.numeric)]
        if self.table is not None:
            tokens.append(self.table(inputs.categorical + self.offsets))
        return Features(torch.cat(tokens, 1) + self.shift)

    def _numeric(self, numeric: Tensor) -> Tensor:
        """``(N, F) -> (N, F, D)``, without the shift."""
        if self.encoding is None:
            return numeric[..., None] * self.scale
        bins = functional.pad(self.encoding(numeric), (0, 1))[:, self.pieces]
        return torch.einsum("nfb,fbd->nfd", bins, functional.pad(self.scale, (0, 0, 0, 1))[self.pieces])


class TransformerBlock(nn.Module):
    """One block: Features ``(N, L, D) -> (N, L, D)``; tokens that the mask calls unreal are not attended to."""

    def __init__(self, options: FTTransformer, *, first: bool) -> None:
        super().__init__()
        width, hidden = options.width, max(1, int(options.expansion * options.width))
        self.heads = options.heads
        self.attention_dropout = options.attention_dropout
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.hidden_norm = nn.LayerNorm(width)
        self.gates = nn.Linear(width, 2 * hidden)
        self.hidden_dropout = nn.Dropout(options.hidden_dropout)
        self.shrink = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, features: Features) -> Features:
        """Features ``(N, L, D)``."""
        values = features.values
        values = values + self.dropout(self._attend(self.attention_norm(values), features.mask))
        values = values + self.dropout(self._reglu(self.hidden_norm(values)))
        return Features(values, features.mask)

    def _attend(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Multi-head self-attention: ``(..., N, L, D) -> (..., N, L, D)``."""
        split = self.qkv(values).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.movedim(-3, 0).transpose(-2, -3)  # (..., N, heads, L, D / heads)
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else mask[:, None, None, :],  # (N, 1, 1, L): for all heads and queries
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        merged: Tensor = self.merge(mixed.transpose(-2, -3).flatten(-2))
        return merged

    def _reglu(self, values: Tensor) -> Tensor:
        """Feed-forward network: ``(N, L, D) -> (N, L, D)``."""
        linear, gate = self.gates(values).chunk(2, -1)
        shrunk: Tensor = self.shrink(self.hidden_dropout(linear * functional.relu(gate)))
        return shrunk


class ClassToken(nn.Module):
    """Norm and ReLU of the [CLS] token: Features ``(N, L, D) -> (N, D)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Features) -> Tensor:
        """``(N, D)``."""
        return functional.relu(self.norm(features.values[..., 0, :]))
