"""The vocabulary of tensors that data, models and training share.

An example carries labels for any subset of the tasks. A missing label is NaN in the targets; everything
downstream must be right for any subset, so nobody drops a row because one target is missing.

Letters used in the whole house: N rows, T tasks, G tasks of one head group, F numeric columns,
C categorical columns, K outputs of one head, W target columns of one task, D width of the representation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """What an encoder reads of N rows: columns of a table, or one map or sequence per row.

    :param numeric: ``(N, F)`` float32: standardised numbers, booleans, missing flags; never NaN.
    :param categorical: ``(N, C)`` int64 codes; 0 stands for missing or unseen.
    :param values: maps ``(N, D, H, W)``, sequences of vectors ``(N, L, D)``, or of token codes ``(N, L)`` int64.
    :param mask: ``(N, L)`` bool, True where a token is real; real tokens come first. None when all are.
    """

    numeric: Tensor
    categorical: Tensor
    values: Tensor | None = None
    mask: Tensor | None = None

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
    """

    numeric: int
    cardinalities: tuple[int, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    shape: tuple[int, ...] = ()
    vocabulary: int = 0


@dataclass(frozen=True)
class Targets:
    """The labels of N rows for all tasks, side by side; NaN where a label is missing.

    :param values: ``(N, W_total)`` float32. Class codes are stored as floats.
    :param layout: task name -> columns of ``values``.
    """

    values: Tensor
    layout: Mapping[str, slice]

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, task: str) -> Tensor:
        """The target columns of one task, ``(N, W)``, as a view."""
        return self.values[:, self.layout[task]]

    def block(self, tasks: tuple[str, ...]) -> Tensor:
        """The target columns of tasks of equal width W: ``(N, G, W)``; a view where they lie side by side."""
        first, last = self.layout[tasks[0]], self.layout[tasks[-1]]
        width = first.stop - first.start
        if last.stop - first.start == width * len(tasks) and all(
            self.layout[name].start == first.start + i * width for i, name in enumerate(tasks)
        ):
            return self.values[:, first.start : last.stop].reshape(len(self), len(tasks), width)
        return torch.stack([self[name] for name in tasks], 1)

    def to(self, device: torch.device | str) -> Targets:
        """The same targets on another device."""
        return Targets(self.values.to(device, non_blocking=True), self.layout)


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


@dataclass(frozen=True)
class Features:
    """What one stage hands to the next.

    :param values: ``(N, D)`` vectors, ``(N, L, D)`` tokens, or ``(N, D, H, W)`` maps.
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
