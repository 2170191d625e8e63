"""The arrays behind a table of columns, in memory or memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("numeric", "categorical", "targets")
FACTS = "table.json"
"""Written last: its presence means that the arrays are complete."""


def allocate(rows: int, widths: tuple[int, ...], storage: Path | None) -> tuple[NDArray[Any], ...]:
    """The three arrays of ``rows`` rows, to be filled."""
    if storage is None:
        kinds: tuple[Any, ...] = (np.float32, np.int64, np.float32)
        return tuple(np.empty((rows, width), kind) for width, kind in zip(widths, kinds, strict=True))
    begin(storage)
    kinds = (np.float32, np.int32, np.float32)
    return tuple(_create(storage / f"{part}.npy", rows, width, kind)
                 for part, width, kind in zip(PARTS, widths, kinds, strict=True))  # fmt: skip


def begin(storage: Path) -> None:
    """A folder for a new table; an old one in it is no longer complete."""
    storage.mkdir(parents=True, exist_ok=True)
    (storage / FACTS).unlink(missing_ok=True)


def load(folder: Path, part: str, rows: int) -> NDArray[Any]:
    """One array, mapped; writing into it leaves the file alone.

    :raises ValueError: it is not complete.
    """
    path = folder / f"{part}.npy"
    if not path.exists():
        return np.empty((rows, 0), np.int32 if part == "categorical" else np.float32)
    # Mode "c" (private) gives torch a writable array without ever writing to the file.
    array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    if len(array) != rows:
        raise ValueError(f"{path.name} has {len(array)} rows, not {rows}")
    return array


def finish(storage: Path, rows: int, sources: Mapping[str, range], **facts: Any) -> None:
    """Declares the table complete."""
    facts |= {"rows": rows, "sources": {name: [span.start, span.stop] for name, span in sources.items()}}
    (storage / FACTS).write_text(json.dumps(facts), "utf-8")


def spans_of(layout: Mapping[str, slice]) -> dict[str, list[int]]:
    """A layout as JSON values."""
    return {name: [span.start, span.stop] for name, span in layout.items()}


def layout_from(found: Mapping[str, list[int]]) -> dict[str, slice]:
    """A layout from JSON values."""
    return {name: slice(*span) for name, span in found.items()}


def _create(path: Path, rows: int, width: int, kind: Any) -> NDArray[Any]:
    if width == 0:  # a file of no bytes cannot be mapped
        path.unlink(missing_ok=True)
        return np.empty((rows, 0), kind)
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(rows, width))
