"""Batches of about equally many tokens, made of rows of about equal length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from polytask.batch import Batch
from polytask.data.batches import Batches
from polytask.data.sampling.sampler import Ints, Sampler
from polytask.data.table import Table
from polytask.errors import ConfigError

CUTS = 3
"""Stream of random numbers, beside those of draws and shuffles."""
POOL = 64
"""Batches whose rows are sorted by length together."""
PROBES = 8
"""Epochs that the mean number of steps is taken over."""


@dataclass(frozen=True)
class TokenBatches:
    """As :class:`Batches`, but a batch has as many rows as fit into a budget of tokens, padding included.

    The rows of an epoch are those that the sampler hands out, row by row, in its shares. They are cut into pools,
    sorted by length within each, and cut into batches wherever the budget is full; then the batches are shuffled.
    Sentences of one batch thus have about the same length, and little is computed on padding.

    Nothing is remembered: :meth:`epoch` is a pure function of the seed, the epoch and the step to begin at.

    :param batch_tokens: tokens of a batch on each process, padding included; a longer text is a batch of its own.
    :param batch_size: most rows of a batch on each process; 0: no limit.
    :param rank, world: this process and the number of processes. All draw the same source at the same step, rows of
        about the same length, and equally many batches.
    :raises ConfigError: an impossible size. :raises polytask.errors.DataError: a source with fewer rows than processes.
    """

    table: Table
    sampler: Sampler
    batch_tokens: int
    seed: int
    epochs: int
    batch_size: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise ConfigError(f"expected at least 1, found {self.batch_tokens}.", where="batch_tokens")
        if self.batch_size < 0:
            raise ConfigError(f"expected 0 or more, found {self.batch_size}.", where="batch_size")
        Batches(self.table, self.sampler, 1, self.seed, self.epochs, rank=self.rank, world=self.world)

    @cached_property
    def steps(self) -> int:
        """Steps of one epoch: the mean over the training, rounded up; epochs differ by a few."""
        probes = np.unique(np.linspace(0, self.epochs - 1, min(self.epochs, PROBES)).round().astype(int))
        return -(-sum(len(self._groups(int(epoch))) for epoch in probes) // len(probes))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        :param epoch: from 0 on.
        :param start: steps to leave out: where a training is resumed.
        """
        for rows, source in self.rows(epoch, start):
            yield self.table.batch(rows, source, draw=(self.seed << 20) + epoch + 1)

    def rows(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, str | None]]:
        """The row numbers of each batch of one epoch, and its source (None when mixed)."""
        for group, source in self._groups(epoch)[start:]:
            yield torch.from_numpy(group[self.rank]), source

    def _groups(self, epoch: int) -> list[tuple[list[Ints], str | None]]:
        """The steps of an epoch: a batch for every process, and the source."""
        rows, rng = self._handed_out(epoch), np.random.default_rng([self.seed, CUTS, epoch])
        if self.sampler.mixed:
            groups = self._cut(rows)
            return [(groups[i], None) for i in rng.permutation(len(groups))]
        names, spans = list(self.table.sources), self.table.sources.values()
        owner = np.searchsorted([span.start for span in spans], rows, side="right") - 1
        by_source = [self._cut(rows[owner == source]) for source in range(len(names))]
        waiting = [[groups[i] for i in rng.permutation(len(groups))] for groups in by_source]
        order = self.sampler.order(np.array([len(groups) for groups in by_source]), rng)
        return [(waiting[source].pop(), names[source]) for source in order]

    def _handed_out(self, epoch: int) -> Ints:
        """The rows of an epoch, in the order in which the sampler hands them out."""
        size = len(self.table)
        whole = Batches(self.table, replace(self.sampler, mixed=True), size, self.seed, self.epochs)
        return next(whole.rows(epoch))[0].numpy()

    def _cut(self, rows: Ints) -> list[list[Ints]]:
        """Rows as groups of batches, one batch for every process."""
        if not len(rows):
            return []
        windows, longest = (counts[rows] for counts in self._counts)
        mean = max(int((windows * longest).mean()), 1)
        pool = max(POOL * self.world * self.batch_tokens // mean, self.world)
        batches: list[Ints] = []
        for begin in range(0, len(rows), pool):
            part = slice(begin, begin + pool)
            order = np.argsort(longest[part], kind="stable")
            own = rows[part][order]
            batches += np.split(own, self._ends(windows[part][order], longest[part][order]))
        self._even(batches)
        return [batches[i : i + self.world] for i in range(0, len(batches) - self.world + 1, self.world)]

    def _ends(self, windows: Ints, longest: Ints) -> list[int]:
        """Where a pool, sorted by length, is cut."""
        most = self.batch_size or len(windows)
        ends: list[int] = []
        total, begin = np.append(0, np.cumsum(windows)), 0
        while True:
            part = slice(begin, begin + min(most, self.batch_tokens // int(longest[begin]) + 1))
            padded = longest[part] * (total[begin + 1 :][: len(longest[part])] - total[begin])
            begin += max(int(np.searchsorted(padded, self.batch_tokens, side="right")), 1)
            if begin >= len(windows):
                return ends
            ends.append(begin)

    def _even(self, batches: list[Ints]) -> None:
        """Splits the largest batches until every process has equally many; where rows are too few the rest is left."""
        while len(batches) % self.world:
            largest = max(range(len(batches)), key=lambda i: len(batches[i]))
            if len(batches[largest]) < 2:
                return
            half = len(batches[largest]) // 2
            batches[largest : largest + 1] = [batches[largest][:half], batches[largest][half:]]

    @cached_property
    def _counts(self) -> tuple[Ints, Ints]:
        return self.table.token_counts()
