"""Words that are hidden from the encoder, for language models to guess (Devlin et al.: BERT. NAACL 2019).

Of the words that are chosen 80 % become the mask, 10 % a random word, and 10 % stay. Whether a word is chosen depends
on the draw and on its place in the corpus alone, not on the batch that it comes in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polytask.tokens.encoded import Encoded
from polytask.tokens.ragged import Ints, offsets_of, spans
from polytask.tokens.vocabulary import Vocabulary

MASKED, RANDOM = 0.8, 0.9
"""Ends of the shares of chosen words that become the mask, and a random word."""
CHOICE, FATE, PIECE = 1, 2, 3
"""Streams of random numbers."""
_FULL = (1 << 64) - 1


def chosen(words: Ints, share: float, draw: int) -> NDArray[np.bool_]:
    """Which words are to be guessed.

    :param words: their places in the corpus. :param draw: another number chooses other words.
    """
    return _uniform(words, draw, CHOICE) < share


def hidden(encoded: Encoded, words: Ints, guessed: NDArray[np.bool_], vocabulary: Vocabulary, draw: int) -> Encoded:
    """The texts with the words that are to be guessed hidden, all pieces of a word alike.

    :param words: ``(M,)`` places of the words in the corpus. :param guessed: ``(M,)``.
    """
    at = np.flatnonzero(guessed)
    fate = _uniform(words[at], draw, FATE)
    starts, sizes = offsets_of(encoded.piece_counts)[:-1], encoded.piece_counts.astype(np.int64)
    codes = encoded.codes.copy()
    masked, random = at[fate < MASKED], at[(fate >= MASKED) & (fate < RANDOM)]
    codes[spans(starts[masked], sizes[masked])] = vocabulary.marks.mask
    places = spans(starts[random], sizes[random])
    within = spans(np.zeros(len(random), np.int64), sizes[random])
    codes[places] = vocabulary.drawn(_bits(np.repeat(words[random], sizes[random]), draw, PIECE + within))
    return Encoded(codes, encoded.piece_counts, encoded.word_counts, encoded.leads)


def _uniform(words: Ints, draw: int, stream: int) -> NDArray[np.float64]:
    return np.asarray((_bits(words, draw, stream) >> np.uint64(11)) * 2.0**-53, np.float64)


def _bits(words: Ints, draw: int, stream: int | Ints) -> NDArray[np.uint64]:
    """64 random bits for each word: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators.
    OOPSLA 2014) of word, draw and stream.
    """
    seeds = _mixed(np.asarray(stream, np.uint64) + np.array((draw * 64) & _FULL, np.uint64))
    return _mixed(words.astype(np.uint64) + seeds)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # numbers of 64 bits wrap around
        z = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
