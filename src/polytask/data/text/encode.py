"""Tables of texts, encoded piece by piece."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged, Targets
from polytask.data.arrays import begin, finish, layout_from, spans_of
from polytask.data.layout import has_labels, layout_of
from polytask.data.pieces import Frame, names_of, pieces
from polytask.data.text.cache import coded
from polytask.data.text.schema import WORDS, TextSchema
from polytask.data.text.spill import Spill, mapped
from polytask.data.text.store import TokenWriter
from polytask.data.text.texts import Texts
from polytask.data.text.words import Wordlists, list_lengths
from polytask.errors import DataError, PolytaskError
from polytask.tasks.task import Target, Unit
from polytask.tokens.ragged import offsets_of, spans
from polytask.tokens.saved import read_vocabulary

PIECE = 65_536
"""Texts encoded at once."""
VOCABULARY = "vocabulary.json"


def encode_texts(
    frames: Mapping[str, Frame],
    schema: TextSchema,
    targets: Sequence[Target],
    sources: Mapping[str, range],
    storage: Path | None,
) -> Texts:
    """The texts of all sources with the labels that each has.

    :raises DataError: with source, row and task: no text, labels that are not as many as the words.
    """
    if storage is not None:
        begin(storage)
    writer = _Writer(schema, targets, storage)
    for name, frame in frames.items():
        try:
            names = {*names_of(frame), WORDS}
            labelled = {target.task.name for target in targets if has_labels(target, names)}
            needed = {column for t in targets if t.task.name in labelled for column in (*t.task.columns, *t.task.reads)}
            columns = dict.fromkeys([*schema.found_in(names_of(frame)), *sorted(needed)])
            for offset, piece in pieces(frame, [c for c in columns if c in names_of(frame)], PIECE):
                writer.add(piece, labelled, offset)
        except PolytaskError as error:
            raise (error.at(f"source {name!r}") if len(frames) > 1 else error) from None
    texts = writer.finish()
    if storage is not None:
        (storage / VOCABULARY).write_text(json.dumps(schema.vocabulary.to_json()), "utf-8")
        finish(
            storage,
            len(texts.tokens),
            sources,
            layout=spans_of(texts.targets.layout),
            words=len(texts.tokens.piece_counts),
            word_layout=spans_of(texts.targets.word_layout),
            lists={task: lists.values.shape[1] for task, lists in texts.targets.lists.items()},
            hides=dict(texts.hides),
        )
    return texts


def open_texts(folder: Path, facts: Mapping[str, Any]) -> Texts:
    """What :func:`encode_texts` left in a folder.

    :raises ValueError, OSError, KeyError: it is not complete.
    """
    rows, words, vocabulary = facts["rows"], facts["words"], json.loads((folder / VOCABULARY).read_text("utf-8"))
    layout, word_layout = layout_from(facts["layout"]), layout_from(facts["word_layout"])
    values = _floats(folder, "rows", _width(layout), rows)
    labels = _floats(folder, "labels", _width(word_layout), words)
    annotated = torch.from_numpy(mapped(folder, "annotated", np.bool_, (len(word_layout),), rows))
    lists = {
        task: Ragged(
            _floats(folder, f"list_{i}", width, None),
            torch.from_numpy(mapped(folder, f"counts_{i}", np.int64, (), rows)),
        )
        for i, (task, width) in enumerate(facts["lists"].items())
    }
    return Texts(
        TokenWriter.open(read_vocabulary(vocabulary), folder, rows, words),
        Targets(values, layout, labels if word_layout else None, word_layout, lists),
        dict(zip(word_layout, annotated.unbind(1), strict=True)),
        facts["hides"],
    )


class _Writer:
    """Gathers texts and labels, in memory or in a folder."""

    def __init__(self, schema: TextSchema, targets: Sequence[Target], folder: Path | None) -> None:
        self._schema = schema
        by_unit: dict[Unit, list[Target]] = {"row": [], "word": [], "list": []}
        for target in targets:
            by_unit[target.unit].append(target)
        self._rows, self._words, self._lists = by_unit["row"], by_unit["word"], by_unit["list"]
        self._word_columns = any(WORDS in (*t.task.columns, *t.task.reads) for t in targets)
        self._layout, self._word_layout = layout_of(self._rows), layout_of(self._words)
        self._tokens = TokenWriter(schema.vocabulary, folder)
        self._values = Spill(folder, "rows", np.float32, (_width(self._layout),))
        self._labels = Spill(folder, "labels", np.float32, (_width(self._word_layout),))
        self._annotated = Spill(folder, "annotated", np.bool_, (len(self._word_layout),))
        self._ragged = [
            (Spill(folder, f"list_{i}", np.float32, (t.width,)), Spill(folder, f"counts_{i}", np.int64, ()))
            for i, t in enumerate(self._lists)
        ]

    def add(self, piece: pl.DataFrame, labelled: Collection[str], offset: int) -> None:
        """The next rows of a source, with the labels of the tasks that it has."""
        words = self._schema.words(piece, offset)
        self._tokens.add(coded(words, self._schema.vocabulary))
        if self._word_columns:
            piece = piece.with_columns(words.lists(WORDS))
        values = np.full((piece.height, _width(self._layout)), np.nan, np.float32)
        for target in self._rows:
            if target.task.name in labelled:
                values[:, self._layout[target.task.name]] = _tensor(target.encode(_read(piece, target))).numpy()
        self._values.add(values)
        self._add_words(piece, labelled, words, offset)
        for target, (lists, counts) in zip(self._lists, self._ragged, strict=True):
            if target.task.name in labelled:
                encoded = target.encode(_read(piece, target))
                if not isinstance(encoded, Ragged):
                    raise TypeError(f"{type(target).__name__}.encode must return lists")
                lists.add(encoded.values.numpy())
                counts.add(encoded.counts.numpy())
            else:
                counts.add(np.full(piece.height, -1))

    def _add_words(self, piece: pl.DataFrame, labelled: Collection[str], words: Wordlists, offset: int) -> None:
        labels = np.full((int(words.counts.sum()), _width(self._word_layout)), np.nan, np.float32)
        annotated = np.zeros((piece.height, len(self._word_layout)), np.bool_)
        for target in self._words:
            name = target.task.name
            if name not in labelled:
                continue
            present = _present(piece, target, words.counts, offset)
            annotated[:, list(self._word_layout).index(name)] = present
            encoded = _tensor(target.encode(_read(piece, target).filter(pl.Series(present)))).numpy()
            at = spans(offsets_of(words.counts)[:-1][present], words.counts[present])
            labels[at, self._word_layout[name]] = encoded
        self._labels.add(labels)
        self._annotated.add(annotated)

    def finish(self) -> Texts:
        """All of it."""
        annotated = torch.from_numpy(self._annotated.finish())
        lists = {
            target.task.name: Ragged(torch.from_numpy(values.finish()), torch.from_numpy(counts.finish()))
            for target, (values, counts) in zip(self._lists, self._ragged, strict=True)
        }
        labels = torch.from_numpy(self._labels.finish())
        values = torch.from_numpy(self._values.finish())
        return Texts(
            self._tokens.finish(),
            Targets(values, self._layout, labels if self._words else None, self._word_layout, lists),
            dict(zip(self._word_layout, annotated.unbind(1), strict=True)),
            {target.task.name: target.task.masks_words for target in self._words if target.task.masks_words},
        )


def _present(piece: pl.DataFrame, target: Target, words: NDArray[np.int64], offset: int) -> NDArray[np.bool_]:
    """Rows that have labels of a task about words, as many as they have words."""
    present = np.ones(piece.height, np.bool_)
    for column in target.task.columns:
        if piece[column].dtype == pl.Null:
            return np.zeros(piece.height, np.bool_)
        if not isinstance(piece[column].dtype, pl.List):
            raise DataError(
                f"expected a list of labels, one per word, found the type {piece[column].dtype}.",
                where=f"column {column!r}, task {target.task.name!r}",
            )
        lengths = list_lengths(piece[column])
        present &= lengths >= 0
        wrong = np.flatnonzero((lengths >= 0) & (lengths != words))
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"expected {words[row]} labels, one per word, found {lengths[row]}; "
                f"{len(wrong)} {'row is' if len(wrong) == 1 else 'rows are'} like this.",
                where=f"row {offset + row + 1}, column {column!r}, task {target.task.name!r}",
                do="Labels of words need the words themselves: give them as a column of lists.",
            )
    return present


def _read(piece: pl.DataFrame, target: Target) -> pl.DataFrame:
    """The columns that a target sees."""
    return piece.select(list(dict.fromkeys([*target.task.columns, *target.task.reads])))


def _tensor(encoded: Tensor | Ragged) -> Tensor:
    return encoded.values if isinstance(encoded, Ragged) else encoded


def _width(layout: Mapping[str, slice]) -> int:
    return sum(span.stop - span.start for span in layout.values())


def _floats(folder: Path, name: str, width: int, rows: int | None) -> Tensor:
    return torch.from_numpy(mapped(folder, name, np.float32, (width,), rows))
