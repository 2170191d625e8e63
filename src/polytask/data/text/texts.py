"""The side of a table that column tables do not have: tokens, and labels of words and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Batch, Ragged, Targets
from polytask.data.text.masking import chosen, hidden
from polytask.data.text.store import TokenStore
from polytask.tasks.task import labelled
from polytask.tokens.ragged import Ints, offsets_of, spans

FIXED = 0
"""The draw of hidden words where nothing is learned."""


@dataclass(frozen=True)
class Texts:
    """The texts of a table and what is labelled in them. Rows are stored rows.

    :param tokens: of all rows.
    :param targets: labels of rows, words and lists.
    :param annotated: task about words -> ``(N,)`` bool: rows that have its label.
    :param hides: task that guesses hidden words -> share of the words that are hidden.
    """

    tokens: TokenStore
    targets: Targets
    annotated: Mapping[str, Tensor] = field(default_factory=dict)
    hides: Mapping[str, float] = field(default_factory=dict)

    def batch(self, rows: Tensor, source: str | None, draw: int | None) -> Batch:
        """Some rows as windows, with their labels.

        :param draw: which words are hidden from language models; None: the same ones always, and none in rows that have
            labels of other tasks.
        """
        own = rows.numpy()
        encoded, words = self.tokens.rows(own), self.tokens.words_of(own)
        labels = None if self.targets.words is None else self.targets.words[torch.from_numpy(words)]
        if self.hides and labels is not None:
            guessed = self._guessed(own, words, draw)
            encoded = hidden(encoded, words, guessed, self.tokens.vocabulary, FIXED if draw is None else draw)
            for task in self.hides:
                labels[torch.from_numpy(~guessed), self.targets.word_layout[task]] = torch.nan
        targets = Targets(
            self.targets.values.index_select(0, rows),
            self.targets.layout,
            labels,
            self.targets.word_layout,
            {task: self._list(task, own) for task in self.targets.lists},
        )
        return Batch(self.tokens.vocabulary.assemble(encoded), targets, source)

    def labels(self, task: str, rows: Tensor | None, draw: int | None) -> Tensor | Ragged:
        """The labels of one task in some rows (None: all)."""
        if task in self.targets.lists:
            return self.targets.lists[task] if rows is None else self._list(task, rows.numpy())
        if task not in self.annotated:
            return self.targets[task] if rows is None else self.targets[task][rows]
        own = np.arange(len(self.tokens)) if rows is None else rows.numpy()
        present, counts = self.annotated[task].numpy()[own], self.tokens.word_counts[own].astype(np.int64)
        if task in self.hides and draw is None:
            present = present & self._alone(own)
        words = self.tokens.words_of(own[present])
        values = self.targets[task][torch.from_numpy(words)]
        if task in self.hides:
            values[torch.from_numpy(~self._guessed(own[present], words, draw))] = torch.nan
        return Ragged(values, torch.from_numpy(np.where(present, counts, -1)))

    def labelled_counts(self, rows: Tensor | None) -> dict[str, int]:
        """How many of some rows (None: of all) carry a label of each task."""
        found = {}
        for task in (*self.targets.layout, *self.targets.word_layout, *self.targets.lists):
            if task in self.annotated:
                present = self.annotated[task]
            else:
                present = labelled(self.targets.lists.get(task, self.targets[task]))
            found[task] = int((present if rows is None else present[rows]).sum())
        return found

    def limited(self, rows: Tensor, size: int, tokens: int) -> Iterator[Tensor]:
        """Rows in their order, at most ``size`` and at most ``tokens`` padded tokens at a time."""
        own = rows.numpy()
        lengths, windows, begin = self.tokens.longest[own], self.tokens.windows[own], 0
        while begin < len(own):
            part = slice(begin, begin + size)
            padded = np.maximum.accumulate(lengths[part]) * np.cumsum(windows[part])
            end = begin + max(int(np.searchsorted(padded, tokens, side="right")), 1)
            yield rows[begin:end]
            begin = end

    def _guessed(self, rows: Ints, words: Ints, draw: int | None) -> NDArray[np.bool_]:
        """Which words of some rows are hidden."""
        share = max(self.hides.values())
        guessed = chosen(words, share, FIXED if draw is None else draw)
        there = np.logical_or.reduce([self.annotated[task].numpy()[rows] for task in self.hides])
        if draw is None:
            there &= self._alone(rows)
        return np.asarray(guessed & np.repeat(there, self.tokens.word_counts[rows]))

    def _alone(self, rows: Ints) -> NDArray[np.bool_]:
        """Rows without labels of tasks that read all words."""
        others = (~self.targets.values[rows].isnan()).any(1).numpy()
        for task, present in self.annotated.items():
            if task not in self.hides:
                others |= present.numpy()[rows]
        for lists in self.targets.lists.values():
            others |= lists.counts.numpy()[rows] >= 0
        return np.asarray(~others)

    def _list(self, task: str, rows: Ints) -> Ragged:
        lists, starts = self.targets.lists[task], self._starts[task]
        counts = lists.counts.numpy()[rows]
        index = spans(starts[rows], np.maximum(counts, 0))
        return Ragged(lists.values[torch.from_numpy(index)], torch.from_numpy(counts))

    @cached_property
    def _starts(self) -> dict[str, Ints]:
        """Where the list of every row begins."""
        return {task: offsets_of(lists.lengths.numpy())[:-1] for task, lists in self.targets.lists.items()}
