"""The batches of a training: a pure function of the seed, the epoch and the step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polytask.batch import Batch
from polytask.data.sampling.sampler import Ints, Sampler
from polytask.data.table import Table
from polytask.errors import ConfigError, DataError, plural

DRAWS, SHUFFLES = 1, 2
"""Streams of random numbers, so that the draws of sources and the shuffles of rows share nothing."""


@dataclass(frozen=True)
class Batches:
    """Walks every source in shuffled passes, in the shares that the sampler gives them.

    A pass over a source visits each of its rows once, in a new order; the walk goes on where the last epoch left it, so
    that no row is seen ``k + 2`` times while another was seen ``k`` times. With a single source an epoch is exactly one
    pass. With several an epoch has as many steps as all of them have batches (van der Goot et al.: Massive Choice,
    Ample Tasks (MaChAmp). EACL 2021), and the sampler decides whose they are.

    Nothing is remembered: :meth:`epoch` can begin at any step of any epoch at once.

    :param batch_size: rows of a batch on each process; a step consumes ``world * batch_size`` rows.
    :param epochs: length of the training, for samplers that change over it.
    :param steps_per_epoch: steps of an epoch; default as above.
    :param drop_last: leave out the smaller batch at the end of each pass (other rows each pass).
    :param rank, world: this process and the number of processes. All draw the same source at the same step, and
        disjoint rows. The last step of a pass is left out if it has fewer rows than there are processes.
    :raises ConfigError: an impossible size.
    :raises DataError: a source with fewer rows than processes.
    """

    table: Table
    sampler: Sampler
    batch_size: int
    seed: int
    epochs: int
    steps_per_epoch: int | None = None
    drop_last: bool = False
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "world"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least 1, found {getattr(self, name)}.", where=name)
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ConfigError(f"expected at least 1, found {self.steps_per_epoch}.", where="steps_per_epoch")
        if self.seed < 0 or not 0 <= self.rank < self.world:
            raise ConfigError(f"seed {self.seed}, rank {self.rank} of {self.world}.", where="batches")
        if not len(self.table):
            raise DataError("there are no rows to train on.")
        for name, span in self.table.sources.items():
            if len(span) < self.world:
                raise DataError(
                    f"{plural(len(span), 'row')} for {plural(self.world, 'process')}.", where=f"source {name!r}"
                )

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        if self.sampler.mixed:
            return self._batches_of(len(self.table))
        return sum(self._batches_of(len(span)) for span in self.table.sources.values())

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        :param epoch: from 0 on.
        :param start: steps to leave out, at no cost: where a training is resumed.
        """
        for rows, source in self.rows(epoch, start):
            yield self.table.batch(rows, source, draw=(self.seed << 20) + epoch + 1)

    def rows(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, str | None]]:
        """The row numbers of each batch of one epoch, and its source (None when mixed)."""
        return self._mixed(epoch, start) if self.sampler.mixed else self._homogeneous(epoch, start)

    def _homogeneous(self, epoch: int, start: int) -> Iterator[tuple[Tensor, str | None]]:
        names = list(self.table.sources)
        walks = [self._walk(i) for i in range(len(names))]
        order, taken = self._draws(epoch)
        done = taken + np.bincount(order[:start], minlength=len(names))
        for source in order[start:]:
            walk, wide = walks[source], self.batch_size * self.world
            one, at = divmod(int(done[source]), self._batches_of(walk.size))
            rows = walk.rows(one)[at * wide : (at + 1) * wide]
            yield torch.from_numpy(rows[self.rank :: self.world]), names[source]
            done[source] += 1

    def _mixed(self, epoch: int, start: int) -> Iterator[tuple[Tensor, str | None]]:
        walks = [self._walk(i) for i in range(len(self.table.sources))]
        order, taken = self._draws(epoch)
        wide = self.batch_size * self.world
        done = taken + np.bincount(order[: start * wide], minlength=len(walks))
        for step in range(start, self.steps):
            owners = order[step * wide : (step + 1) * wide]
            rows = np.empty(len(owners), np.int64)
            for source in np.unique(owners):
                mine = np.flatnonzero(owners == source)
                rows[mine] = walks[source].following(int(done[source]), len(mine))
                done[source] += len(mine)
            yield torch.from_numpy(rows[self.rank :: self.world]), None

    def _draws(self, epoch: int) -> tuple[Ints, Ints]:
        """The source of every slot of this epoch, and the slots that each source had in all epochs before."""
        taken = np.zeros(len(self.table.sources), np.int64)
        for earlier in range(epoch):
            taken += self._quota(earlier)[0]
        quota, rng = self._quota(epoch)
        return self.sampler.order(quota, rng), taken

    def _quota(self, epoch: int) -> tuple[Ints, np.random.Generator]:
        rng = np.random.default_rng([self.seed, DRAWS, epoch])
        sizes = np.array([len(span) for span in self.table.sources.values()], float)
        slots = self._slots if self.sampler.mixed else self.steps
        # Past the planned end (a training that is prolonged) the sampler stays where it ended.
        return self.sampler.quota(sizes, slots, min(epoch, self.epochs - 1), self.epochs, rng), rng

    @property
    def _slots(self) -> int:
        """Rows of an epoch of mixed batches."""
        full = self.steps * self.batch_size * self.world
        return full if self.steps_per_epoch is not None else min(full, len(self.table))

    def _walk(self, source: int) -> _Walk:
        return _Walk(self.seed, source, list(self.table.sources.values())[source])

    def _batches_of(self, size: int) -> int:
        """Batches of a pass over so many rows."""
        whole, rest = divmod(size, self.batch_size * self.world)
        return max(whole + (rest >= self.world and not self.drop_last), 1)


class _Walk:
    """The shuffled passes over one source; keeps the pass that was asked for last."""

    def __init__(self, seed: int, source: int, span: range) -> None:
        self.size = len(span)
        self._key = (seed, SHUFFLES, source)
        self._span = span
        self._number = -1
        self._rows: Ints = np.empty(0, np.int64)

    def rows(self, number: int) -> Ints:
        """The rows of pass ``number``, shuffled."""
        if number != self._number:
            rng = np.random.default_rng([*self._key, number])
            self._rows = rng.permutation(np.arange(self._span.start, self._span.stop))
            self._number = number
        return self._rows

    def following(self, position: int, count: int) -> Ints:
        """``count`` rows from ``position`` on, counted over all passes."""
        parts = []
        while count:
            number, at = divmod(position, self.size)
            parts.append(self.rows(number)[at : at + count])
            position, count = position + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)
