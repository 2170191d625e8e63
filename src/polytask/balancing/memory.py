"""Rows by task name, so that memory survives tasks coming and going."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polytask.balancing.contract import PAIRS, State
from polytask.errors import UserError

MOST_INDICES = 256


class Memory:
    """Tensors whose rows belong to tasks: rows of the present tasks are gathered, changed elsewhere, and put back.

    Tensors are replaced, never changed in place, so whoever holds an earlier state keeps it as it was.

    :param init: ``init(tasks, like)``: the rows of tasks that are met for the first time.
    """

    def __init__(self, init: Callable[[tuple[str, ...], Tensor], State]) -> None:
        self._init = init
        self._indices: dict[tuple[str, ...], Tensor] = {}
        self.names: tuple[str, ...] = ()
        self.state: State = {}
        self.width: int | None = None
        """P, for a method that remembers whole gradients; None for all others."""

    def gather(self, names: tuple[str, ...], like: Tensor) -> State:
        """The rows of ``names``, in that order, with the device and floating type of ``like``."""
        self._check_width(like)
        if names != self.names:
            self._meet(names, like)
        if not self.state:
            return {}
        self._move(like)
        if names == self.names:
            return dict(self.state)
        index = self._index(names, like)
        return {key: _select(key, rows, index) for key, rows in self.state.items()}

    def scatter(self, names: tuple[str, ...], state: State) -> None:
        """Put back the rows of ``names``, which were gathered before."""
        if names == self.names:
            self.state = dict(state)
        else:
            self.state = {
                key: _put(key, rows, self._index(names, rows), state[key]) for key, rows in self.state.items()
            }

    def replace(self, names: tuple[str, ...], state: State, width: int | None = None) -> None:
        """Forget everything and hold these rows, of gradients of ``width`` numbers."""
        self.names, self.state, self.width = names, dict(state), width
        self._indices.clear()

    def _meet(self, names: tuple[str, ...], like: Tensor) -> None:
        known = set(self.names)
        new = tuple(name for name in names if name not in known)
        if len(set(names)) != len(names):
            raise UserError(f"expected one loss per task, found {', '.join(names)}.", where="losses")
        if not new:
            return
        rows = self._init(new, like)
        if self.names:
            rows = {key: _append(key, old.to(rows[key]), rows[key]) for key, old in self.state.items()}
        self.replace(self.names + new, rows, like.shape[1] if like.ndim == 2 else None)

    def _check_width(self, like: Tensor) -> None:
        if self.width is not None and like.ndim == 2 and like.shape[1] != self.width:
            raise UserError(
                f"expected task gradients of {self.width} numbers as before, found {like.shape[1]}.",
                where="shared",
                do="Pass the same shared parameters in every step: this method remembers their gradients.",
            )

    def _move(self, like: Tensor) -> None:
        for key, rows in self.state.items():
            dtype = like.dtype if rows.is_floating_point() else rows.dtype
            if rows.device != like.device or rows.dtype != dtype:
                self.state[key] = rows.to(like.device, dtype)

    def _index(self, names: tuple[str, ...], like: Tensor) -> Tensor:
        index = self._indices.get(names)
        if index is None or index.device != like.device:
            if len(self._indices) >= MOST_INDICES:  # many subsets (sparse labels): bounded, rebuilt when needed
                self._indices.clear()
            place = {name: row for row, name in enumerate(self.names)}
            index = torch.tensor([place[name] for name in names], device=like.device)
            self._indices[names] = index
        return index


def _select(key: str, rows: Tensor, index: Tensor) -> Tensor:
    chosen = rows.index_select(0, index)
    return chosen.index_select(1, index) if key.startswith(PAIRS) else chosen


def _put(key: str, rows: Tensor, index: Tensor, new: Tensor) -> Tensor:
    if not key.startswith(PAIRS):
        return rows.index_copy(0, index, new)
    pairs = rows.clone()
    pairs[index[:, None], index] = new
    return pairs


def _append(key: str, old: Tensor, new: Tensor) -> Tensor:
    if not key.startswith(PAIRS):
        return torch.cat([old, new])
    known = len(old)
    pairs = new.new_zeros(known + len(new), known + len(new))
    pairs[:known, :known], pairs[known:, known:] = old, new
    return pairs
