"""Decoder layers of a small transformer that keep what they have read, so that a text is written token by token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[Tensor, Tensor]
"""Keys and values, ``(N, heads, L, d)`` each."""


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of the encoder: a pair per layer, and which of it is real, ``(N, 1, 1, L)`` bool."""

    pairs: tuple[Pair, ...]
    real: Tensor

    def take(self, rows: Tensor) -> Memory:
        """That of some rows, by their numbers."""
        return Memory(tuple((key[rows], value[rows]) for key, value in self.pairs), self.real[rows])


class DecoderLayer(nn.Module):
    """Attention to earlier tokens, attention to the encoder, and a feed-forward network, each behind a norm.

    :param width: numbers per token. :param heads: of both attentions. :param dropout: share dropped of each branch.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.own_norm, self.cross_norm, self.hidden_norm = (nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query, self.keys, self.cross_merge = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.hidden = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def read(self, memory: Tensor) -> Pair:
        """Keys and values of the encoder's vectors ``(N, L, width)``."""
        key, value = self.keys(memory).chunk(2, -1)
        return self._parted(key), self._parted(value)

    def forward(self, tokens: Tensor, memory: Pair, real: Tensor, past: Pair | None = None) -> tuple[Tensor, Pair]:
        """Tokens ``(N, T, width)`` that see themselves and earlier ones, and the keys and values of all so far.

        :param real: ``(N, 1, 1, L)`` bool, which of the memory may be read.
        :param past: keys and values of tokens before these; ``tokens`` is then the next one alone.
        """
        query, key, value = (self._parted(part) for part in self.own(self.own_norm(tokens)).chunk(3, -1))
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        tokens = tokens + self.dropout(self.own_merge(_joined(seen)))
        query = self._parted(self.query(self.cross_norm(tokens)))
        seen = functional.scaled_dot_product_attention(query, *memory, attn_mask=real)
        tokens = tokens + self.dropout(self.cross_merge(_joined(seen)))
        return tokens + self.dropout(self.hidden(self.hidden_norm(tokens))), (key, value)

    def _parted(self, values: Tensor) -> Tensor:
        """``(N, T, width) -> (N, heads, T, d)``."""
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


def _joined(values: Tensor) -> Tensor:
    """``(N, heads, T, d) -> (N, T, width)``."""
    return values.transpose(1, 2).flatten(2)
