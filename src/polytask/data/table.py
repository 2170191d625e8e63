"""The encoded rows of all sources, in memory or memory-mapped, and the gathering of batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Batch, Inputs, Ragged, Targets
from polytask.data.arrays import FACTS, PARTS, allocate, finish, layout_from, load, spans_of
from polytask.data.layout import has_labels, layout_of, ranges
from polytask.data.pieces import PIECE, Frame, height_of, names_of, pieces
from polytask.data.schema import Schema
from polytask.data.text.encode import encode_texts, open_texts
from polytask.data.text.schema import TextSchema
from polytask.data.text.texts import Texts
from polytask.errors import DataError, PolytaskError, RunError
from polytask.tasks.task import Target, labelled

__all__ = ["FACTS", "PARTS", "PIECE", "Table", "layout_of"]

TOKENS = 16_384
"""Padded tokens of a batch of texts where nothing is learned, so that memory is bounded."""


@dataclass(frozen=True)
class Table:
    """Encoded rows; the rows of one source lie side by side.

    :param inputs: of the stored rows. Memory-mapped codes are int32 on disk; :meth:`batch` gives int64 always.
    :param targets: labels of the stored rows.
    :param sources: name -> rows of the table, in order and without gaps.
    :param index: ``(N,)`` int64: which stored row each row of the table is; None: all of them, in order.
    :param texts: tokens of the stored rows; None for tables of columns.
    """

    inputs: Inputs
    targets: Targets
    sources: Mapping[str, range]
    index: Tensor | None = None
    texts: Texts | None = None

    def __len__(self) -> int:
        return len(self.targets) if self.index is None else len(self.index)

    @classmethod
    def encode(
        cls,
        frames: Mapping[str, Frame],
        schema: Schema | TextSchema,
        targets: Sequence[Target],
        storage: Path | str | None = None,
    ) -> Table:
        """Encodes every source, piece by piece.

        A source that lacks the columns of a task has no labels for it.

        :param targets: the fitted tasks; those of equal signature are stored side by side.
        :param storage: a folder for memory-mapped arrays, for tables larger than memory; None: in memory.
        :raises DataError: a source without rows, missing feature columns, values of the wrong kind.
        """
        sizes = {name: height_of(frame) for name, frame in frames.items()}
        for name, size in sizes.items():
            if size == 0:
                raise DataError("the table has no rows.", where=f"source {name!r}")
        sources, folder = ranges(sizes), Path(storage) if storage is not None else None
        if isinstance(schema, TextSchema):
            return cls._of_texts(encode_texts(frames, schema, targets, sources, folder), sources)
        if wrong := next((target for target in targets if target.unit != "row"), None):
            raise DataError(
                f"its labels belong to {wrong.unit}s, and the table has columns, not texts.",
                where=f"task {wrong.task.name!r}",
                do="Choose an encoder of texts.",
            )
        layout = layout_of(targets)
        widths = (schema.spec.numeric, len(schema.spec.cardinalities), sum(t.width for t in targets))
        arrays = allocate(sum(sizes.values()), widths, folder)
        for name, frame in frames.items():
            try:
                _fill(frame, sources[name].start, schema, targets, arrays)
            except PolytaskError as error:
                raise (error.at(f"source {name!r}") if len(frames) > 1 else error) from None
        if folder is not None:
            for array in arrays:
                if isinstance(array, np.memmap):
                    array.flush()
            finish(folder, len(arrays[0]), sources, layout=spans_of(layout))
            return cls.open(folder)
        numeric, codes, labels = (torch.from_numpy(array) for array in arrays)
        return cls(Inputs(numeric, codes), Targets(labels, layout), sources)

    @classmethod
    def open(cls, storage: Path | str) -> Table:
        """A table that :meth:`encode` left in a folder.

        :raises RunError: the folder holds no complete table.
        """
        folder = Path(storage)
        try:
            facts = json.loads((folder / FACTS).read_text("utf-8"))
            sources = {name: range(*span) for name, span in facts["sources"].items()}
            if "words" in facts:
                return cls._of_texts(open_texts(folder, facts), sources)
            numeric, codes, labels = (torch.from_numpy(load(folder, part, facts["rows"])) for part in PARTS)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(
                f"there is no complete table: {error}.", where=str(folder), do="Encode the table again."
            ) from None
        return cls(Inputs(numeric, codes), Targets(labels, layout_from(facts["layout"])), sources)

    def batch(self, rows: Tensor, source: str | None = None, *, draw: int | None = None) -> Batch:
        """Some rows of the table, in the given order.

        :param rows: ``(n,)`` int64.
        :param draw: which words are hidden from language models, another choice for each number; None: where nothing is
            learned, the same ones always, and none in rows that have labels of other tasks.
        """
        stored = rows if self.index is None else self.index.index_select(0, rows)
        if self.texts is not None:
            return self.texts.batch(stored, source, draw)
        return Batch(
            Inputs(self.inputs.numeric.index_select(0, stored), self.inputs.categorical.index_select(0, stored).long()),
            Targets(self.targets.values.index_select(0, stored), self.targets.layout),
            source,
        )

    def by_length(self, size: int) -> Iterator[tuple[Tensor, Batch]]:
        """All rows once, at most ``size`` at a time, texts of about the same length together: for evaluation.

        Of texts as :meth:`in_order` in a fraction of the time, because little is padding.

        :returns: batches with the numbers of their rows; ``torch.cat(rows).argsort()`` brings answers back in order.
        """
        if self.texts is None:
            starts = range(0, len(self), size)
            yield from zip(
                (torch.arange(s, min(s + size, len(self))) for s in starts), self.in_order(size), strict=True
            )
            return
        windows, longest = self.token_counts()
        order = torch.from_numpy(np.lexsort((longest, windows)))
        stored = order if self.index is None else self.index[order]
        begin = 0
        for rows in self.texts.limited(stored, size, TOKENS):
            yield order[begin : begin + len(rows)], self.texts.batch(rows, None, None)
            begin += len(rows)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows in their order, at most ``size`` at a time (of long texts fewer): for evaluation."""
        if self.texts is not None:
            stored = torch.arange(len(self)) if self.index is None else self.index
            for rows in self.texts.limited(stored, size, TOKENS):
                yield self.texts.batch(rows, None, None)
            return
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))))

    def take(self, rows: Tensor | NDArray[np.int64]) -> Table:
        """A view of some rows through an index; nothing is copied.

        :param rows: row numbers; those of one source stay together, as they do when the numbers ascend.
        :raises DataError: rows of the sources are mixed.
        """
        chosen = torch.as_tensor(rows, dtype=torch.int64)
        starts = torch.tensor([span.start for span in self.sources.values()])
        owner = torch.bucketize(chosen, starts, right=True) - 1
        if len(owner) and bool((owner[1:] < owner[:-1]).any()):
            raise DataError("the rows of different sources are mixed.", do="Take rows in ascending order.")
        counts = torch.bincount(owner, minlength=len(self.sources)).tolist()
        sizes = {name: count for name, count in zip(self.sources, counts, strict=True) if count}
        index = chosen if self.index is None else self.index[chosen]
        return Table(self.inputs, self.targets, ranges(sizes), index, self.texts)

    def labels(self, task: str, *, draw: int | None = None) -> Tensor | Ragged:
        """The encoded labels of one task, ``(N, W)``, NaN where missing; of words and lists, a list per row.

        A view where no index is in between.

        :param draw: of language models: the words that :meth:`batch` hides with the same draw.
        """
        if self.texts is not None:
            return self.texts.labels(task, self.index, draw)
        column = self.targets[task]
        return column if self.index is None else column[self.index]

    def labelled_counts(self) -> dict[str, int]:
        """How many rows carry a label of each task."""
        if self.texts is not None:
            return self.texts.labelled_counts(self.index)
        return {task: int(labelled(self.labels(task)).sum()) for task in self.targets.layout}

    def token_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``(N,)`` windows of each row, and ``(N,)`` tokens of its longest one; 1 and 1 for rows of columns."""
        if self.texts is None:
            return np.ones(len(self), np.int64), np.ones(len(self), np.int64)
        windows, longest = self.texts.tokens.windows, self.texts.tokens.longest
        return (windows, longest) if self.index is None else (windows[self.index.numpy()], longest[self.index.numpy()])

    @classmethod
    def _of_texts(cls, texts: Texts, sources: Mapping[str, range]) -> Table:
        rows = len(texts.tokens)
        return cls(Inputs(torch.zeros(rows, 0), torch.zeros(rows, 0).long()), texts.targets, sources, None, texts)


def _fill(
    frame: Frame, start: int, schema: Schema, targets: Sequence[Target], arrays: tuple[NDArray[Any], ...]
) -> None:
    """Writes one source into the arrays, from row ``start`` on."""
    numeric, codes, labels = arrays
    layout = layout_of(targets)
    names = names_of(frame)
    present = [target for target in targets if has_labels(target, names)]
    for target in targets:
        if target not in present:
            labels[start : start + height_of(frame), layout[target.task.name]] = np.nan
    columns = [*schema.found_in(names), *(column for target in present for column in target.task.columns)]
    for offset, piece in pieces(frame, list(dict.fromkeys(columns)), PIECE):
        rows = slice(start + offset, start + offset + piece.height)
        schema.write(piece, numeric[rows], codes[rows], offset)
        for target in present:
            encoded = target.encode(piece.select(target.task.columns))
            labels[rows, layout[target.task.name]] = encoded.values if isinstance(encoded, Ragged) else encoded.numpy()
