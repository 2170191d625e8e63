"""Texts as codes, before they become a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.tokens.ragged import Codes


@dataclass(frozen=True)
class Encoded:
    """The pieces of n texts with M words, without special tokens.

    :param codes: ``(P,)`` int32 codes of pieces, or ``(P, 1 + C)``: a word's code and those of its characters.
    :param piece_counts: ``(M,)`` int32, above 0: pieces of each word.
    :param word_counts: ``(n,)`` int32: words of each row, both texts of a pair together.
    :param leads: ``(n,)`` int32: words of the first text of a pair; None where rows are single texts.
    """

    codes: Codes
    piece_counts: NDArray[np.int32]
    word_counts: NDArray[np.int32]
    leads: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.word_counts)

    @staticmethod
    def cat(parts: Sequence[Encoded]) -> Encoded:
        """The rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        leads = [part.leads for part in parts if part.leads is not None]
        return Encoded(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.piece_counts for part in parts]),
            np.concatenate([part.word_counts for part in parts]),
            np.concatenate(leads) if leads else None,
        )
