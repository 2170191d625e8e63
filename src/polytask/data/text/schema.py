"""The schema of texts: which columns hold them, and the vocabulary that codes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import polars as pl

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import make
from polytask.data.infer import Note
from polytask.data.pieces import Frame, names_of, pieces, sample
from polytask.data.text.words import Wordlists, wordlists
from polytask.errors import ConfigError, DataError, did_you_mean
from polytask.tokens.encoded import Encoded
from polytask.tokens.saved import read_vocabulary
from polytask.tokens.tokenizer import Tokenizer
from polytask.tokens.vocabulary import Vocabulary

VERSION = 1
WORDS, TEXT = "words", "text"
"""Names of the columns that hold texts where the user names none: lists of words, or raw text."""


@dataclass(frozen=True)
class TextSchema:
    """The columns that hold the text of a row, and the fitted vocabulary.

    A column of lists holds words, a column of strings raw text, which is split into words
    (:func:`polytask.tokens.split_words`). A table without the column, but with the raw text in ``text``, will do too.

    :param text: one column, or the two columns of a pair of texts.
    :param vocabulary: learned on the training split, or that of a pretrained model.
    :param notes: what was decided.
    """

    text: tuple[str, ...]
    vocabulary: Vocabulary
    notes: tuple[Note, ...] = ()

    kind: ClassVar[str] = "text"
    categories: ClassVar[tuple[str, ...]] = ()
    """Columns of categories: a text has none."""
    optional: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def fit(
        cls, frame: Frame | Mapping[str, Frame], tokenizer: Tokenizer, text: str | Sequence[str] | None = None
    ) -> TextSchema:
        """Learns the vocabulary from the training split, and from nothing else.

        :param frame: the training rows, or several sources by name. Of a lazy table 1,000,000 evenly spaced rows are
            read.
        :param text: the column of the text, or the two columns of a pair; default: ``words``, else ``text``.
        :raises DataError: no such column, or one that holds no text.
        """
        sources = frame if isinstance(frame, Mapping) else {"": frame}
        columns = _columns(sources, text)
        vocabulary = tokenizer.fit(_sentences(sources, columns))
        spec = vocabulary.spec
        codes = f"{spec.vocabulary:,} codes" + (f", {spec.characters:,} characters" if spec.characters else "")
        notes = tuple(Note(column, "text", f"{codes}; windows of {spec.window} tokens") for column in columns)
        return cls(columns, vocabulary, notes)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self.text

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self.text

    @property
    def spec(self) -> InputSpec:
        """What an encoder must know of the inputs."""
        return self.vocabulary.spec

    def found_in(self, names: Collection[str]) -> list[str]:
        """The columns of a table that hold its texts.

        :raises DataError: they are missing; the nearest names are offered.
        """
        absent = [name for name in self.text if name not in names]
        if not absent:
            return list(self.text)
        if len(self.text) == 1 and TEXT in names:
            return [TEXT]
        raise DataError(
            f"there is no column {absent[0]!r}, which held the text in training.", do=did_you_mean(absent[0], names)
        )

    def words(self, piece: pl.DataFrame, offset: int = 0) -> Wordlists:
        """The words of each row of a table.

        :param offset: rows before this piece of the table, for messages.
        """
        return wordlists(piece, self.found_in(piece.columns), offset)

    def with_words(self, piece: pl.DataFrame) -> pl.DataFrame:
        """A table with the words of its texts as the column of lists ``words``, which tasks may read."""
        return piece.with_columns(self.words(piece).lists(WORDS))

    def encode(self, frame: Frame) -> Inputs:
        """All rows of a table as one batch of windows.

        :raises DataError: the column of the text is missing, or holds something else.
        """
        parts = []
        for offset, piece in pieces(frame, self.found_in(names_of(frame))):
            parts.append(self.code(self.words(piece, offset)))
        return self.vocabulary.assemble(Encoded.cat(parts) if parts else self.vocabulary.encode([]))

    def code(self, words: Wordlists) -> Encoded:
        """Words as codes."""
        return self.vocabulary.encode_flat(words.flat, words.counts, words.leads)

    def to_json(self) -> dict[str, Any]:
        """The schema as JSON values, tokenizer and all; :meth:`from_json` gives an equal schema back."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "text": list(self.text),
            "vocabulary": self.vocabulary.to_json(),
            "notes": [asdict(note) for note in self.notes],
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> TextSchema:
        """The schema again.

        :raises ConfigError: of another version, incomplete or of wrong types, with the path to the key.
        """
        if mapping.get("version") != VERSION or mapping.get("kind") != cls.kind:
            raise ConfigError(
                f"expected a schema of texts of version {VERSION}, found {mapping.get('kind')!r} of version "
                f"{mapping.get('version')!r}.",
                where="schema.version",
                do="It was written by another version of Polytask; use that version, or train again.",
            )
        text, vocabulary, notes = (mapping.get(key) for key in ("text", "vocabulary", "notes"))
        if not (isinstance(text, list | tuple) and isinstance(vocabulary, Mapping) and isinstance(notes, list | tuple)):
            raise ConfigError("expected the keys text, vocabulary and notes.", where="schema")
        told = tuple(make(Note, note, where=f"schema.notes.{i}") for i, note in enumerate(notes))
        return cls(tuple(map(str, text)), read_vocabulary(vocabulary, where="schema.vocabulary"), told)


def _columns(sources: Mapping[str, Frame], text: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns that hold the text in every source."""
    everywhere = {name for frame in sources.values() for name in names_of(frame)}
    if text is None:
        text = WORDS if WORDS in everywhere or TEXT not in everywhere else TEXT
    columns = (text,) if isinstance(text, str) else tuple(text)
    if not 1 <= len(columns) <= 2:
        raise ConfigError(f"expected one column of text, or two of a pair, found {len(columns)}.", where="text")
    for name in columns:
        if name not in everywhere:
            raise DataError(
                f"there is no column {name!r} that holds the text.", where="text", do=did_you_mean(name, everywhere)
            )
    return columns


def _sentences(sources: Mapping[str, Frame], columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The words of the sampled rows of all sources; a source that keeps raw text is split."""
    for name, frame in sources.items():
        there = set(names_of(frame))
        own = [column for column in columns if column in there] or [c for c in (TEXT,) if c in there]
        if not own:
            raise DataError(
                f"there is no column {columns[0]!r} that holds the text.",
                where=f"source {name!r}" if name else "text",
                do=did_you_mean(columns[0], there),
            )
        for _, piece in pieces(sample(frame.select(own)), own):
            yield wordlists(piece, own).flat.to_list()
