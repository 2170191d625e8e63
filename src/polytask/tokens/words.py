"""Whole words and their characters, counted on the training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from polytask.batch import InputSpec
from polytask.errors import ConfigError
from polytask.tokens.assembly import Marks
from polytask.tokens.ragged import Codes, Ints
from polytask.tokens.tokenizer import Tokenizer
from polytask.tokens.vocabulary import Vocabulary

PAD, UNKNOWN, MASK, FIRST = 0, 1, 2, 3
"""Codes of words and of characters alike; those of the vocabulary begin at ``FIRST``."""
MOST_CHARACTERS = 1000
"""Different characters that are told apart, the most frequent ones."""


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """One token per word: the code of the word, and those of its characters.

    Words of the training split that are rare, and words that it never had, share one code and are told apart by their
    characters.

    :param min_count: how often a word must occur to get a code of its own. With 1 the code for unknown words is never
        trained.
    :param max_words: most words with a code of their own, the most frequent ones.
    :param characters: characters that are kept of a word, at least 2; of a longer one its beginning and its end.
    :param lower: words that differ in case only share a code; characters always keep their case.
    :param window: most words that the encoder reads at once; longer texts are read in windows that overlap.
    """

    min_count: int = 2
    max_words: int = 100_000
    characters: int = 16
    lower: bool = True
    window: int = 512

    def __post_init__(self) -> None:
        for name, least in (("min_count", 1), ("max_words", 1), ("characters", 2), ("window", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"expected at least {least}, found {getattr(self, name)}.", where=name)

    def fit(self, sentences: Iterable[Sequence[str]]) -> WordVocabulary:
        """Counts words and characters."""
        counts = Counter(chain.from_iterable(sentences))
        letters: Counter[str] = Counter()
        words: Counter[str] = Counter()
        for word, count in counts.items():
            words[word.lower() if self.lower else word] += count
            for letter in word:
                letters[letter] += count
        frequent = sorted((w for w, count in words.items() if count >= self.min_count), key=lambda w: (-words[w], w))
        known = sorted(letters, key=lambda c: (-letters[c], c))[:MOST_CHARACTERS]
        return WordVocabulary(
            tuple(frequent[: self.max_words]), "".join(known), self.characters, self.lower, self.window
        )


@dataclass(frozen=True)
class WordVocabulary(Vocabulary):
    """Words and characters with a code of their own, in the order of their codes.

    :param words: the words; the first has code 3. :param letters: the characters; the first has code 3.
    :param characters: C, characters kept of a word. :param lower, window: as in :class:`WordTokenizer`.
    """

    words: tuple[str, ...]
    letters: str
    characters: int
    lower: bool
    window: int

    kind: ClassVar[str] = "words"
    slow: ClassVar[bool] = False

    @property
    def spec(self) -> InputSpec:
        """Sizes of the two vocabularies, special codes included, and the words."""
        return InputSpec(
            0,
            vocabulary=len(self.words) + FIRST,
            characters=len(self.letters) + FIRST,
            window=self.window,
            words=self.words,
        )

    @cached_property
    def marks(self) -> Marks:
        """Texts stand alone; the texts of a pair have a masked word between them."""
        pad, unknown, mask = (self._lone(code) for code in (PAD, UNKNOWN, MASK))
        none = np.empty((0, 1 + self.characters), np.int32)
        return Marks(none, mask[None], none, pad, unknown, mask)

    def pieces(self, forms: Sequence[str]) -> tuple[Codes, Ints]:
        """One piece per word: its code and those of its characters, ``(F, 1 + C)``."""
        codes = np.zeros((len(forms), 1 + self.characters), np.int32)
        known = self._codes
        codes[:, 0] = [known.get(form.lower() if self.lower else form, UNKNOWN) for form in forms]
        texts = [self._kept(form) for form in forms]
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        codes[:, 1:][np.arange(self.characters) < lengths[:, None]] = self._letter_codes[points]
        return codes, np.ones(len(forms), np.int64)

    def drawn(self, draws: NDArray[np.uint64]) -> Codes:
        """Words of the vocabulary with their characters."""
        return np.asarray(self._all[draws % np.uint64(len(self._all))])

    def to_json(self) -> dict[str, Any]:
        """Words and characters as lists."""
        return {
            "kind": self.kind,
            "words": list(self.words),
            "letters": self.letters,
            "characters": self.characters,
            "lower": self.lower,
            "window": self.window,
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> WordVocabulary:
        """The vocabulary again."""
        return cls(
            tuple(mapping["words"]),
            str(mapping["letters"]),
            int(mapping["characters"]),
            bool(mapping["lower"]),
            int(mapping["window"]),
        )

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {word: code for code, word in enumerate(self.words, FIRST)}

    @cached_property
    def _all(self) -> Codes:
        """Every word as a piece; an unknown one if there are none."""
        return self.pieces(self.words)[0] if self.words else self.marks.unknown[None]

    @cached_property
    def _letter_codes(self) -> Codes:
        """Code point -> code."""
        codes = np.full(0x110000, UNKNOWN, np.int32)
        codes[[ord(letter) for letter in self.letters]] = np.arange(FIRST, FIRST + len(self.letters))
        return codes

    def _kept(self, form: str) -> str:
        """What is kept of a word: all of it, or the same number of characters from both ends (one more in front)."""
        if len(form) <= self.characters:
            return form
        behind = self.characters // 2
        return form[: self.characters - behind] + form[-behind:]

    def _lone(self, code: int) -> Codes:
        """A piece with this code as word, and as its only character."""
        piece = np.zeros(1 + self.characters, np.int32)
        piece[:2] = code
        return piece
