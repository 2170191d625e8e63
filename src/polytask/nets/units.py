"""From what a way of sharing puts out for texts to what heads read: a vector per row and a vector per word.

Encoders of texts put out a vector per window, then one per token: ``(R + R * L, D)``. Ways of sharing treat all of them
alike, as rows. Here the windows of a row become one vector, and the pieces of a word one vector: ``(N + M, D)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polytask.batch import Words
from polytask.nets.sharing.sharing import Representation

Pieces = Literal["first", "mean"]


@dataclass(frozen=True)
class Units:
    """What the head of one task reads of N texts.

    :param rows: ``(N, D)``, a vector per text. :param words: ``(M, D)``, a vector per word, in the order of the texts.
    :param counts: ``(N,)`` int64: words of each text.
    """

    rows: Tensor
    words: Tensor
    counts: Tensor

    def padded(self) -> tuple[Tensor, Tensor]:
        """The words text by text: ``(N, M', D)`` with zeros behind, and which of them are real, ``(N, M')``."""
        real = real_words(self.counts)
        values = self.words.new_zeros(*real.shape, self.words.shape[-1])
        values[real] = self.words
        return values, real


def real_words(counts: Tensor) -> Tensor:
    """``(N, M')`` bool: which places of a padded list of words are real; M' is the longest."""
    longest = int(counts.max()) if len(counts) else 0
    return torch.arange(longest, device=counts.device) < counts[:, None]


def gathered(representation: Representation, words: Words, pieces: Pieces = "first") -> Representation:
    """Windows and tokens as rows and words: leading dimension ``N + M``, in the values and in what lies beside them.

    :param pieces: a word is its first piece, or the mean of its pieces.
    """
    windows, given = len(words.window), len(representation.values)
    side: Mapping[str, Tensor] = {
        name: _gathered(value, words, windows, pieces) if value.ndim and len(value) == given else value
        for name, value in representation.side.items()
    }
    return Representation(_gathered(representation.values, words, windows, pieces), side)


def _gathered(values: Tensor, words: Words, windows: int, pieces: Pieces) -> Tensor:
    """``(R + R * L, ...) -> (N + M, ...)``."""
    rows = len(words.counts)
    texts = values[:windows] if rows == windows else _means(values[:windows], words.window, rows)
    if pieces == "mean":
        own = _means(values.index_select(0, windows + words.pieces), words.owner, len(words.first))
    else:
        own = values.index_select(0, windows + words.first)
    return torch.cat([texts, own])


def _means(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """The mean of the values of each owner: ``(P, ...) -> (count, ...)``."""
    sums = values.new_zeros(count, *values.shape[1:]).index_add_(0, owner, values)
    sizes = torch.bincount(owner, minlength=count).clamp(min=1).to(values.dtype)
    return sums / sizes.view(-1, *(1,) * (values.ndim - 1))
