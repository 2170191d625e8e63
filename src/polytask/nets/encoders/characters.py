"""Words read by their characters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EMBEDDING = 24
_REACH = 3  # characters that a filter sees at once


class CharacterCNN(nn.Module):
    """Filters over the characters of a word, and the largest answer of each: ``(P, C)`` codes to ``(P, width)``.

    Code 0 is no character. Forms that occur several times are read once.

    Santos and Zadrozny. Learning character-level representations for part-of-speech tagging. ICML 2014.

    :param characters: number of codes. :param width: number of filters.
    """

    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, _EMBEDDING)
        self.filters = nn.Conv1d(_EMBEDDING, width, _REACH, padding=_REACH // 2)

    def forward(self, codes: Tensor) -> Tensor:
        """``(P, width)``, at least 0."""
        if not len(codes):
            return self.embedding.weight.new_zeros(0, self.filters.out_channels)
        forms, place = torch.unique(codes, dim=0, return_inverse=True)
        real = forms != 0
        read = self.embedding(forms) * real[..., None]
        answers = torch.relu(self.filters(read.transpose(1, 2)))
        largest: Tensor = answers.masked_fill(~real[:, None], 0.0).amax(-1)
        return largest.index_select(0, place)
