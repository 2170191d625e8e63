"""The vocabulary of tensors that data, models and training share.

An example carries labels for any subset of the tasks. A missing label is NaN in the targets; everything
downstream must be right for any subset, so nobody drops a row because one target is missing.

Letters used in the whole house: N rows, T tasks, G tasks of one head group, F numeric columns,
C categorical columns, K outputs of one head, W target columns of one task, D width of the representation.
Texts: R windows of L tokens (one window per row unless a text is long), M words in all rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Words:
    """Where the words of N texts are among the tokens of R windows.

    A text that is longer than the encoder's window lies in several windows that overlap; each of its words is read in
    the window where it stands farthest from an edge. Words come in the order of the rows.

    :param first: ``(M,)`` int64: place of each word's first piece among the ``R * L`` tokens.
    :param pieces: ``(P,)`` int64: places of all pieces of all words.
    :param owner: ``(P,)`` int64: the word, 0 to M - 1, that each piece belongs to.
    :param counts: ``(N,)`` int64: words of each row; 0 for an empty text.
    :param window: ``(R,)`` int64: the row that each window belongs to; every row has one.
    """

    first: Tensor
    pieces: Tensor
    owner: Tensor
    counts: Tensor
    window: Tensor

    def to(self, device: torch.device | str) -> Words:
        """The same words on another device."""
        parts = (self.first, self.pieces, self.owner, self.counts, self.window)
        return Words(*(part.to(device, non_blocking=True) for part in parts))

    @property
    def row(self) -> Tensor:
        """``(M,)`` int64: the row that each word belongs to."""
        return torch.repeat_interleave(torch.arange(len(self.counts), device=self.counts.device), self.counts)

    def of(self, rows: Tensor) -> Tensor:
        """``(M',)`` int64: the words of some rows ``(n,)``, in the order of these."""
        return _sorted_by(_places(rows, len(self.counts))[self.row])

    def take(self, rows: Tensor, length: int) -> tuple[Words, Tensor]:
        """The words of some rows, each once, and which of the windows ``(R',)`` they stand in.

        :param rows: ``(n,)`` positions. :param length: L, tokens of a window.
        """
        place = _places(rows, len(self.counts))
        words, windows = self.of(rows), _sorted_by(place[self.window])
        word_place, window_place = _places(words, len(self.first)), _places(windows, len(self.window))
        pieces = _sorted_by(word_place[self.owner])

        def moved(tokens: Tensor) -> Tensor:
            return window_place[tokens // length] * length + tokens % length

        owner, window = word_place[self.owner[pieces]], place[self.window[windows]]
        kept = Words(moved(self.first[words]), moved(self.pieces[pieces]), owner, self.counts[rows], window)
        return kept, windows


@dataclass(frozen=True)
class Ragged:
    """A list per row, of different lengths: labels or answers for words, spans, generated tokens.

    :param values: ``(K, W)``, those of all rows one after the other.
    :param counts: ``(N,)`` int64: length of each row's list; -1 where there is none (a missing label).

    >>> lists = Ragged(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([2, -1, 0, 1]))
    >>> [part.flatten().tolist() for part in lists.parts()], lists.present.tolist()
    ([[1.0, 2.0], [], [], [3.0]], [True, False, True, True])
    >>> lists[torch.tensor([3, 0])].values.flatten().tolist()
    [3.0, 1.0, 2.0]
    """

    values: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: Tensor) -> Ragged:
        """Some rows, by a mask or by their numbers."""
        chosen = rows.nonzero().squeeze(1) if rows.dtype is torch.bool else rows
        lengths = self.lengths
        starts = lengths.cumsum(0) - lengths
        own = lengths[chosen]
        before = own.cumsum(0) - own
        index = torch.arange(int(own.sum()), device=self.values.device)
        index = index + torch.repeat_interleave(starts[chosen] - before, own)
        return Ragged(self.values.index_select(0, index), self.counts[chosen])

    @property
    def lengths(self) -> Tensor:
        """``(N,)`` int64: values of each row; 0 where there is no list."""
        return self.counts.clamp(min=0)

    @property
    def present(self) -> Tensor:
        """``(N,)`` bool: rows that have a list, be it empty."""
        return self.counts >= 0

    def parts(self) -> list[Tensor]:
        """The values of each row: ``(length, W)``, as views."""
        return list(torch.split(self.values, self.lengths.tolist()))

    @staticmethod
    def cat(parts: Iterable[Ragged]) -> Ragged:
        """The rows of all parts, in order."""
        given = list(parts)
        return Ragged(torch.cat([part.values for part in given]), torch.cat([part.counts for part in given]))

    def to(self, device: torch.device | str) -> Ragged:
        """The same lists on another device."""
        return Ragged(self.values.to(device, non_blocking=True), self.counts.to(device, non_blocking=True))


@dataclass(frozen=True)
class Inputs:
    """What an encoder reads of N rows: columns of a table, or one map, sequence or text per row.

    :param numeric: ``(N, F)`` float32: standardised numbers, booleans, missing flags; never NaN.
    :param categorical: ``(N, C)`` int64 codes; 0 stands for missing or unseen.
    :param values: maps ``(N, D, H, W)``, sequences of vectors ``(N, L, D)``, or of token codes ``(N, L)`` int64. Of
        texts: token codes ``(R, L)``, or ``(R, L, 1 + C)``: the code of the word and those of its characters.
    :param mask: ``(N, L)`` bool, True where a token is real; real tokens come first. None when all are. ``(R, L)`` of
        texts.
    :param words: where the words of texts are.
    """

    numeric: Tensor
    categorical: Tensor
    values: Tensor | None = None
    mask: Tensor | None = None
    words: Words | None = None

    @classmethod
    def of(cls, values: Tensor, mask: Tensor | None = None) -> Inputs:
        """Inputs without columns: maps or sequences alone."""
        rows = len(values)
        empty = torch.zeros(rows, 0, device=values.device)
        return cls(empty, empty.long(), values, mask)

    def __len__(self) -> int:
        return self.numeric.shape[0]

    def to(self, device: torch.device | str) -> Inputs:
        """The same inputs on another device."""
        return Inputs(
            self.numeric.to(device, non_blocking=True),
            self.categorical.to(device, non_blocking=True),
            None if self.values is None else self.values.to(device, non_blocking=True),
            None if self.mask is None else self.mask.to(device, non_blocking=True),
            None if self.words is None else self.words.to(device),
        )

    def take(self, rows: Tensor) -> Inputs:
        """Some of the rows, by their positions ``(n,)``, each once."""
        words, lines = None, rows
        if self.words is not None and self.values is not None:
            words, lines = self.words.take(rows, self.values.shape[1])
        return Inputs(
            self.numeric[rows],
            self.categorical[rows],
            None if self.values is None else self.values[lines],
            None if self.mask is None else self.mask[lines],
            words,
        )


@dataclass(frozen=True)
class InputSpec:
    """What a stem must know to be built; learned on the training split, saved with the schema.

    :param numeric: number of numeric columns F (missing flags included).
    :param cardinalities: number of codes of each categorical column, code 0 included.
    :param edges: for each numeric column, the inner edges of its piecewise-linear bins (standardised units);
        empty where a column has none (flags, booleans), or when bins were not asked for.
    :param shape: of one row of ``Inputs.values``: ``(D, H, W)``, ``(L, D)`` or ``(L,)``; empty without them.
    :param vocabulary: number of token codes; 0 where a sequence is of vectors.
    :param characters: number of character codes, for texts whose tokens bring their characters; else 0.
    :param window: most tokens of a window of a text, special ones included; 0 for no limit.
    :param backbone: the configuration (JSON) of the pretrained model that the tokens are for; empty without one.
    :param words: the words behind the last token codes, in their order, where tokens are whole words.
    """

    numeric: int
    cardinalities: tuple[int, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    shape: tuple[int, ...] = ()
    vocabulary: int = 0
    characters: int = 0
    window: int = 0
    backbone: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Targets:
    """The labels of N rows for all tasks, side by side; NaN where a label is missing.

    :param values: ``(N, W_total)`` float32. Class codes are stored as floats.
    :param layout: task name -> columns of ``values``, for tasks with a label per row.
    :param words: ``(M, W_words)`` float32: labels of words; None without such tasks.
    :param word_layout: task name -> columns of ``words``.
    :param lists: task name -> a list of labels per row.
    """

    values: Tensor
    layout: Mapping[str, slice]
    words: Tensor | None = None
    word_layout: Mapping[str, slice] = field(default_factory=dict)
    lists: Mapping[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, task: str) -> Tensor:
        """The target columns of one task as a view: ``(N, W)``; of words ``(M, W)``, of lists ``(K, W)``."""
        if task in self.lists:
            return self.lists[task].values
        values, layout = self._of(task)
        return values[:, layout[task]]

    def block(self, tasks: tuple[str, ...]) -> Tensor:
        """The target columns of tasks of equal width W: ``(N, G, W)``; a view where they lie side by side.

        Of words: ``(M, G, W)``.
        """
        values, layout = self._of(tasks[0])
        first, last = layout[tasks[0]], layout[tasks[-1]]
        width = first.stop - first.start
        if last.stop - first.start == width * len(tasks) and all(
            layout[name].start == first.start + i * width for i, name in enumerate(tasks)
        ):
            return values[:, first.start : last.stop].reshape(len(values), len(tasks), width)
        return torch.stack([values[:, layout[name]] for name in tasks], 1)

    def to(self, device: torch.device | str) -> Targets:
        """The same targets on another device."""
        return Targets(
            self.values.to(device, non_blocking=True),
            self.layout,
            None if self.words is None else self.words.to(device, non_blocking=True),
            self.word_layout,
            {task: ragged.to(device) for task, ragged in self.lists.items()},
        )

    def _of(self, task: str) -> tuple[Tensor, Mapping[str, slice]]:
        """The block that holds a task's columns, and where they are in it."""
        if self.words is not None and task in self.word_layout:
            return self.words, self.word_layout
        return self.values, self.layout

    def take(self, rows: Tensor, words: Words | None = None) -> Targets:
        """The labels of some of the rows, by their positions ``(n,)``, each once.

        :param words: of all rows; without them there are no labels of words.
        """
        return Targets(
            self.values[rows],
            self.layout,
            None if self.words is None or words is None else self.words[words.of(rows)],
            self.word_layout,
            {task: ragged[rows] for task, ragged in self.lists.items()},
        )


@dataclass(frozen=True)
class Batch:
    """N rows on their way through the house.

    :param source: name of the source the rows come from; None when they are mixed.
    """

    inputs: Inputs
    targets: Targets
    source: str | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.source)

    def take(self, rows: Tensor) -> Batch:
        """Some of the rows, by their positions ``(n,)``, each once."""
        return Batch(self.inputs.take(rows), self.targets.take(rows, self.inputs.words), self.source)


@dataclass(frozen=True)
class Features:
    """What one stage hands to the next.

    :param values: ``(N, D)`` vectors, ``(N, L, D)`` tokens, or ``(N, D, H, W)`` maps; of texts ``(R, L, D)``.
    :param mask: ``(N, L)`` bool, True where a token is real; None when all are.
    """

    values: Tensor
    mask: Tensor | None = field(default=None)


@dataclass(frozen=True)
class TaskLosses:
    """The losses of the tasks that are present in a batch, as one tensor.

    :param names: the T present tasks.
    :param values: ``(T,)``: mean loss over the labelled rows of each.
    :param counts: ``(T,)`` float: labelled rows behind each mean.
    """

    names: tuple[str, ...]
    values: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.names)


def _places(chosen: Tensor, size: int) -> Tensor:
    """``(size,)`` int64: where each of ``size`` things is among the chosen; -1 where it is not."""
    places = torch.full((size,), -1, dtype=torch.int64, device=chosen.device)
    places[chosen] = torch.arange(len(chosen), device=chosen.device)
    return places


def _sorted_by(places: Tensor) -> Tensor:
    """The things that have a place, in the order of their places; things of one place stay in theirs."""
    kept = (places >= 0).nonzero().squeeze(1)
    return kept[places[kept].argsort(stable=True)]
