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

from polytask.batch import Batch, Inputs, Targets
from polytask.data.pieces import PIECE, Frame, height_of, names_of, pieces
from polytask.data.schema import Schema
from polytask.errors import DataError, PolytaskError, RunError
from polytask.tasks.task import Target, labelled

PARTS = ("numeric", "categorical", "targets")
FACTS = "table.json"


@dataclass(frozen=True)
class Table:
    """Encoded rows; the rows of one source lie side by side.

    :param inputs: of the stored rows. Memory-mapped codes are int32 on disk; :meth:`batch` gives int64 always.
    :param targets: labels of the stored rows.
    :param sources: name -> rows of the table, in order and without gaps.
    :param index: ``(N,)`` int64: which stored row each row of the table is; None: all of them, in order.
    """

    inputs: Inputs
    targets: Targets
    sources: Mapping[str, range]
    index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets) if self.index is None else len(self.index)

    @classmethod
    def encode(
        cls,
        frames: Mapping[str, Frame],
        schema: Schema,
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
        sources = _ranges(sizes)
        layout = layout_of(targets)
        widths = (schema.spec.numeric, len(schema.spec.cardinalities), sum(t.width for t in targets))
        arrays = _allocate(sum(sizes.values()), widths, Path(storage) if storage is not None else None)
        for name, frame in frames.items():
            try:
                _fill(frame, sources[name].start, schema, targets, arrays)
            except PolytaskError as error:
                raise (error.at(f"source {name!r}") if len(frames) > 1 else error) from None
        if storage is not None:
            _finish(Path(storage), arrays, sources, layout)
            return cls.open(storage)
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
            # Mode "c" (private) gives torch a writable array without ever writing to the file.
            numeric, codes, labels = (torch.from_numpy(_load(folder, part, facts["rows"])) for part in PARTS)
        except (OSError, ValueError, KeyError) as error:
            raise RunError(
                f"there is no complete table: {error}.", where=str(folder), do="Encode the table again."
            ) from None
        layout = {name: slice(*span) for name, span in facts["layout"].items()}
        sources = {name: range(*span) for name, span in facts["sources"].items()}
        return cls(Inputs(numeric, codes), Targets(labels, layout), sources)

    def batch(self, rows: Tensor, source: str | None = None) -> Batch:
        """Some rows of the table, in the given order.

        :param rows: ``(n,)`` int64.
        """
        stored = rows if self.index is None else self.index.index_select(0, rows)
        return Batch(
            Inputs(self.inputs.numeric.index_select(0, stored), self.inputs.categorical.index_select(0, stored).long()),
            Targets(self.targets.values.index_select(0, stored), self.targets.layout),
            source,
        )

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows in their order, ``size`` at a time: for evaluation."""
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
        return Table(self.inputs, self.targets, _ranges(sizes), index)

    def labels(self, task: str) -> Tensor:
        """The encoded labels of one task, ``(N, W)``, NaN where missing; a view where no index is in between."""
        column = self.targets[task]
        return column if self.index is None else column[self.index]

    def labelled_counts(self) -> dict[str, int]:
        """How many rows carry a label of each task."""
        return {task: int(labelled(self.labels(task)).sum()) for task in self.targets.layout}


def layout_of(targets: Sequence[Target]) -> dict[str, slice]:
    """Task name -> columns; tasks of equal signature lie side by side, in the order of their first appearance."""
    groups: dict[tuple[object, ...], list[Target]] = {}
    for target in targets:
        groups.setdefault(target.signature, []).append(target)
    layout, at = {}, 0
    for target in (target for group in groups.values() for target in group):
        layout[target.task.name] = slice(at, at + target.width)
        at += target.width
    return layout


def _ranges(sizes: Mapping[str, int]) -> dict[str, range]:
    ends = np.cumsum(list(sizes.values()), dtype=np.int64).tolist()
    return {name: range(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def _allocate(rows: int, widths: tuple[int, ...], storage: Path | None) -> tuple[NDArray[Any], ...]:
    if storage is None:
        kinds: tuple[Any, ...] = (np.float32, np.int64, np.float32)
        return tuple(np.empty((rows, width), kind) for width, kind in zip(widths, kinds, strict=True))
    storage.mkdir(parents=True, exist_ok=True)
    (storage / FACTS).unlink(missing_ok=True)  # written last: its presence means the arrays are complete
    kinds = (np.float32, np.int32, np.float32)
    return tuple(_create(storage / f"{part}.npy", rows, width, kind)
                 for part, width, kind in zip(PARTS, widths, kinds, strict=True))  # fmt: skip


def _create(path: Path, rows: int, width: int, kind: Any) -> NDArray[Any]:
    if width == 0:  # a file of no bytes cannot be mapped
        path.unlink(missing_ok=True)
        return np.empty((rows, 0), kind)
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(rows, width))


def _load(folder: Path, part: str, rows: int) -> NDArray[Any]:
    path = folder / f"{part}.npy"
    if not path.exists():
        return np.empty((rows, 0), np.int32 if part == "categorical" else np.float32)
    array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    if len(array) != rows:
        raise ValueError(f"{path.name} has {len(array)} rows, not {rows}")
    return array


def _fill(
    frame: Frame, start: int, schema: Schema, targets: Sequence[Target], arrays: tuple[NDArray[Any], ...]
) -> None:
    """Writes one source into the arrays, from row ``start`` on."""
    numeric, codes, labels = arrays
    layout = layout_of(targets)
    names = names_of(frame)
    present = [target for target in targets if _has_labels(target, names)]
    for target in targets:
        if target not in present:
            labels[start : start + height_of(frame), layout[target.task.name]] = np.nan
    columns = [*schema.found_in(names), *(column for target in present for column in target.task.columns)]
    for offset, piece in pieces(frame, list(dict.fromkeys(columns)), PIECE):
        rows = slice(start + offset, start + offset + piece.height)
        schema.write(piece, numeric[rows], codes[rows], offset)
        for target in present:
            labels[rows, layout[target.task.name]] = target.encode(piece.select(target.task.columns)).numpy()


def _has_labels(target: Target, names: Sequence[str]) -> bool:
    there = [column in names for column in target.task.columns]
    if any(there) and not all(there):
        absent = [column for column, found in zip(target.task.columns, there, strict=True) if not found]
        raise DataError(
            f"the target columns {absent} are missing, others of the task are there.",
            where=f"task {target.task.name!r}",
        )
    return all(there)


def _finish(
    storage: Path, arrays: tuple[NDArray[Any], ...], sources: Mapping[str, range], layout: Mapping[str, slice]
) -> None:
    for array in arrays:
        if isinstance(array, np.memmap):
            array.flush()
    facts = {
        "rows": len(arrays[0]),
        "sources": {name: [span.start, span.stop] for name, span in sources.items()},
        "layout": {name: [span.start, span.stop] for name, span in layout.items()},
    }
    (storage / FACTS).write_text(json.dumps(facts), "utf-8")
