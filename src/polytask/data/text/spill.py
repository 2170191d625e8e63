"""An array of unknown length that grows piece by piece, in memory or in a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spill:
    """Collects rows of one type.

    :param folder: where the file goes; None: in memory. :param name: of the file.
    :param width: shape of one row.
    """

    def __init__(self, folder: Path | None, name: str, kind: Any, width: tuple[int, ...]) -> None:
        self._folder, self._name, self._kind, self._width = folder, name, kind, width
        self._parts: list[NDArray[Any]] = []
        self._rows = 0
        self._path = None if folder is None else _path(folder, name)
        if self._path is not None:
            self._path.write_bytes(b"")

    def add(self, rows: NDArray[Any]) -> None:
        """More rows."""
        own = np.ascontiguousarray(rows, self._kind)
        self._rows += len(own)
        if self._path is None:
            self._parts.append(own)
        elif own.size:
            with self._path.open("ab") as file:
                file.write(own.data)

    def finish(self) -> NDArray[Any]:
        """All rows."""
        if self._folder is not None:
            return mapped(self._folder, self._name, self._kind, self._width, self._rows)
        if not self._parts:
            return np.empty((0, *self._width), self._kind)
        return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)


def mapped(folder: Path, name: str, kind: Any, width: tuple[int, ...], rows: int | None) -> NDArray[Any]:
    """The rows in a file, mapped into memory; writing into them leaves the file alone.

    :param rows: how many there must be; None: as many as there are.
    :raises ValueError: another number of rows.
    """
    if 0 in width:
        return np.empty((rows or 0, *width), kind)
    path = _path(folder, name)
    size, rest = divmod(path.stat().st_size, np.dtype(kind).itemsize * math.prod(width))
    if rest or (rows is not None and rows != size):
        raise ValueError(f"{path.name} has {size} rows, not {rows}")
    if not size:  # a file of no bytes cannot be mapped
        return np.empty((0, *width), kind)
    return np.memmap(path, kind, "c", shape=(size, *width))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"
