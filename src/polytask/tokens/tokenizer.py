"""The contract of a tokenizer: how words become codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from polytask.catalogue import Paper
from polytask.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Tokenizer(ABC):
    """What the user chooses about words; :meth:`fit` makes a :class:`Vocabulary` of it."""

    paper: ClassVar[Paper | None] = None

    @abstractmethod
    def fit(self, sentences: Iterable[Sequence[str]]) -> Vocabulary:
        """The vocabulary that the words of the training split give; a pretrained tokenizer ignores them.

        :param sentences: texts, split into words.
        """
