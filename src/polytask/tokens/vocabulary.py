"""The contract of a vocabulary: texts to codes, and codes to the windows that an encoder reads.

Pieces are coded word by word: the pieces of a word depend on the word alone, so every form is coded once however often
it occurs. Special tokens, windows and padding come in only when a batch is made.
"""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from polytask.batch import Inputs, InputSpec
from polytask.errors import DataError
from polytask.tokens.assembly import Marks, assembled
from polytask.tokens.encoded import Encoded
from polytask.tokens.ragged import Codes, Ints, offsets_of, spans

__all__ = ["Encoded", "Vocabulary"]


@dataclass(frozen=True)
class Vocabulary(ABC):
    """What a tokenizer knows after it has seen the training split. Immutable."""

    kind: ClassVar[str]
    """Its name in JSON."""
    slow: ClassVar[bool] = True
    """Whether coding takes so long that the codes of a corpus are worth keeping on disk."""

    @property
    @abstractmethod
    def spec(self) -> InputSpec:
        """What an encoder must know of the codes."""

    @property
    @abstractmethod
    def marks(self) -> Marks:
        """The codes that stand for no word: around texts, for padding, for unknown and for masked pieces."""

    @abstractmethod
    def pieces(self, forms: Sequence[str]) -> tuple[Codes, Ints]:
        """The codes of words, and how many each has.

        :returns: ``(P,)`` or ``(P, 1 + C)``, and ``(F,)``; a form may have none.
        """

    @abstractmethod
    def drawn(self, draws: NDArray[np.uint64]) -> Codes:
        """Random pieces, one for each random number: ``(n,)`` or ``(n, 1 + C)``."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The whole vocabulary as JSON values, with its ``kind``; nothing else is needed to read it back."""

    @classmethod
    @abstractmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary again."""

    @property
    def capacity(self) -> int:
        """Pieces that fit into a window beside the special tokens; 0 for no limit."""
        return self.spec.window - self.marks.width if self.spec.window else 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the vocabulary."""
        return sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def encode(self, sentences: Sequence[Sequence[str]], pairs: Sequence[Sequence[str]] | None = None) -> Encoded:
        """Texts, split into words, as codes.

        :param pairs: the second text of every row.
        """
        first = np.fromiter((len(words) for words in sentences), np.int64, len(sentences))
        if pairs is None:
            return self.encode_flat(pl.Series(chain.from_iterable(sentences), dtype=pl.String), first)
        if len(pairs) != len(sentences):
            raise DataError(f"expected a second text for each of {len(sentences)} rows, found {len(pairs)}.")
        second = np.fromiter((len(words) for words in pairs), np.int64, len(pairs))
        both = chain.from_iterable(chain(a, b) for a, b in zip(sentences, pairs, strict=True))
        return self.encode_flat(pl.Series(both, dtype=pl.String), first + second, first)

    def encode_flat(self, words: pl.Series, counts: NDArray[Any], leads: NDArray[Any] | None = None) -> Encoded:
        """The words of all texts, one after the other, as codes.

        :param words: text; a missing word is an empty one.
        :param counts: ``(n,)`` words of each row. :param leads: ``(n,)`` words of the first text of a pair.
        """
        forms, form_of = _forms(words)
        codes, sizes = self._never_empty(*self.pieces(forms))
        codes, sizes = self._cut(codes, sizes, form_of)
        starts = offsets_of(sizes)[:-1]
        piece_counts = sizes[form_of]
        return Encoded(
            codes[spans(starts[form_of], piece_counts)],
            piece_counts.astype(np.int32),
            counts.astype(np.int32),
            None if leads is None else leads.astype(np.int32),
        )

    def assemble(self, encoded: Encoded) -> Inputs:
        """The rows of a batch as the windows that an encoder reads."""
        return assembled(encoded, self.marks, self.spec.window)

    def _never_empty(self, codes: Codes, sizes: Ints) -> tuple[Codes, Ints]:
        """A word without any piece (control characters) gets the unknown piece, so that every word has a place."""
        empty = np.flatnonzero(sizes == 0)
        if not len(empty):
            return codes, sizes
        at = offsets_of(sizes)[empty]
        filled = sizes.copy()
        filled[empty] = 1
        return np.insert(codes, at, self.marks.unknown, axis=0), filled

    def _cut(self, codes: Codes, sizes: Ints, form_of: Ints) -> tuple[Codes, Ints]:
        """Words longer than a window keep their first pieces."""
        long = sizes > self.capacity
        if not self.capacity or not long.any():
            return codes, sizes
        count = int(long[form_of].sum())
        warnings.warn(
            f"{count} {'word is' if count == 1 else 'words are'} longer than the window of {self.spec.window} tokens; "
            "the encoder reads their first pieces only.",
            stacklevel=4,
        )
        kept = np.minimum(sizes, self.capacity)
        return codes[spans(offsets_of(sizes)[:-1], kept)], kept


def _forms(words: pl.Series) -> tuple[list[str], Ints]:
    """The different words, and which of them each word is."""
    if not len(words):
        return [], np.empty(0, np.int64)
    coded = words.fill_null("").to_arrow()
    coded = (pa.chunked_array([coded]) if isinstance(coded, pa.Array) else coded).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
