"""From what the user hands over to encoded rows: reading, setting rows aside, fitting schema and targets."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Batch
from polytask.data.corpora.reading import is_corpus
from polytask.data.leakage import check_leakage
from polytask.data.options import SchemaOptions
from polytask.data.pieces import Frame, height_of, names_of, sample
from polytask.data.saved import AnySchema
from polytask.data.schema import Schema
from polytask.data.sources import read, scan
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.errors import DataError, did_you_mean, plural
from polytask.record.run import SourceFacts
from polytask.tasks.task import Target, Task
from polytask.tokens.tokenizer import Tokenizer

Rows: TypeAlias = NDArray[np.int64]
Data: TypeAlias = Any
"""A path, a frame, a dict of arrays; or a dict of several of these by name, one per task or group of tasks."""

VALIDATION = 3
"""Stream of random numbers that the validation rows are drawn from."""


def read_sources(
    data: Data, *, lazy: bool = False, text: Collection[str] = (), tasks: Iterable[Task] = ()
) -> dict[str, Frame]:
    """Tables by name.

    :param lazy: leave large files on disk.
    :param text: columns of CSV files that stay text although they may look like numbers: categories.
    :param tasks: for corpora that say which tasks they label, by name: their labels get the names of target columns.
    :raises DataError: a table that cannot be used.
    """
    tables = data if _is_several(data) else {"table": data}
    names = {str(name): str(name) if _is_several(data) else None for name in tables}
    columns = {task.name: task.columns for task in tasks} or None

    def opened(value: Any, name: str | None) -> Frame:
        return scan(value, name=name, columns=columns) if lazy else read(value, name=name, text=text, columns=columns)

    return {str(name): opened(value, names[str(name)]) for name, value in tables.items()}


def source_facts(data: Data, frames: Mapping[str, Frame], role: Literal["train", "validation"]) -> list[SourceFacts]:
    """Where the tables came from, so that a resumed run can read the same ones."""
    given = list(data.values()) if _is_several(data) else [data]
    return [_facts(name, frame, one, role) for (name, frame), one in zip(frames.items(), given, strict=True)]


def _facts(name: str, frame: Frame, data: Data, role: Literal["train", "validation"]) -> SourceFacts:
    if not isinstance(data, str | Path):
        return SourceFacts(name, height_of(frame), role)
    path = Path(data).resolve()
    return SourceFacts(name, height_of(frame), role, str(path), path.stat().st_size, file_digest(path))


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_digest(prepared: Prepared) -> str:
    """SHA-256 of schema, targets and encoded rows: equal digests mean that the same model follows."""
    learned = [prepared.schema.to_json(), [target.learned() for target in prepared.targets]]
    digest = hashlib.sha256(repr(learned).encode())
    for table in (prepared.train, prepared.validation):
        if table is None:
            digest.update(b"none")
            continue
        digest.update(repr([(name, len(span)) for name, span in table.sources.items()]).encode())
        for batch in table.in_order(65_536):
            for tensor in _tensors(batch):
                digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensors(batch: Batch) -> Iterator[Tensor]:
    """All that a batch holds."""
    inputs, targets = batch.inputs, batch.targets
    lists = (part for ragged in targets.lists.values() for part in (ragged.values, ragged.counts))
    counts = None if inputs.words is None else inputs.words.counts
    for tensor in (inputs.numeric, inputs.categorical, targets.values, inputs.values, counts, targets.words, *lists):
        if tensor is not None:
            yield tensor


@dataclass(frozen=True)
class Prepared:
    """Encoded rows, ready to train on.

    :param train, validation: views of the encoded tables; validation is None without any row.
    """

    schema: AnySchema
    targets: tuple[Target, ...]
    train: Table
    validation: Table | None


@dataclass(frozen=True)
class Before:
    """What an earlier model knows of tables and labels."""

    schema: AnySchema
    targets: Mapping[str, Target]


def prepare(
    tasks: Sequence[Task],
    frames: Mapping[str, Frame],
    validation: Mapping[str, Frame] | None,
    options: SchemaOptions | Before,
    *,
    exclude: Sequence[str] = (),
    features: Sequence[str] = (),
    fraction: float = 0.0,
    seed: int = 0,
    storage: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> Prepared:
    """Fit schema and targets on the training rows only, and encode everything.

    :param options: of the schema; or what an earlier model knows, which is taken over.
    :param fraction: share of the rows of every source that is set aside when ``validation`` is None.
    :param storage: folder for memory-mapped arrays; None: in memory.
    :param tokenizer: cuts texts into tokens; None: the rows are columns.
    :raises DataError: a target column that no source has, or what schema and targets refuse.
    """
    share = 0.0 if validation is not None else fraction
    kept, held = set_aside({name: height_of(frame) for name, frame in frames.items()}, share, seed)
    seen = {name: sample(frame, rows=kept[name]) for name, frame in frames.items()}
    schema = _schema(tasks, seen, options, tokenizer, exclude=exclude, features=features)
    targets = fit_targets(tasks, with_words(schema, seen), options.targets if isinstance(options, Before) else {})
    _check_every_source_labels(tasks, frames)
    table = Table.encode(frames, schema, targets, None if storage is None else storage / "train")
    rows = {side: _rows(table, chosen) for side, chosen in (("train", kept), ("held", held))}
    train = table if share == 0 else table.take(rows["train"])
    if validation is None:
        return Prepared(schema, targets, train, table.take(rows["held"]) if len(rows["held"]) else None)
    other = encode_held_out(
        validation, schema, targets, "the validation table", None if storage is None else storage / "validation"
    )
    return Prepared(schema, targets, train, other)


def _schema(
    tasks: Sequence[Task],
    seen: Mapping[str, pl.DataFrame],
    options: SchemaOptions | Before,
    tokenizer: Tokenizer | None,
    *,
    exclude: Sequence[str],
    features: Sequence[str],
) -> AnySchema:
    """The schema of these training rows, or the one that is taken over."""
    if isinstance(options, Before):
        return options.schema
    if tokenizer is not None:
        schema = TextSchema.fit(seen, tokenizer, text=options.text or None)
        for task in tasks:
            if task.texts > len(schema.text):
                raise DataError(
                    f"it is about {task.texts} texts, and the rows have one ({schema.text[0]!r}).",
                    where=f"task {task.name!r}",
                    do="Name both columns: schema: {text: [first, second]}.",
                )
        return schema
    labels = {column for task in tasks for column in task.columns}
    everywhere = {name for frame in seen.values() for name in names_of(frame)}
    _check_labels(tasks, everywhere)
    left_out = [*sorted(labels & everywhere), *(column for column in exclude if column not in labels)]
    own = Schema.fit(seen, exclude=left_out, features=features, options=options)
    for frame in seen.values():
        check_leakage(frame, own.names, labels)
    return own


def with_words(schema: AnySchema, frames: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    """The tables with the words of their texts as a column, for tasks that are about them."""
    if isinstance(schema, Schema):
        return frames
    return {name: schema.with_words(frame) for name, frame in frames.items()}


def encode_held_out(
    frames: Mapping[str, Frame],
    schema: AnySchema,
    targets: Sequence[Target],
    where: str,
    storage: Path | None = None,
    *,
    warn: bool = True,
) -> Table:
    """Rows that choose or judge, encoded; labels that training never saw are warned about.

    :param where: what the rows are called in messages. :param warn: False where the same warning comes later.
    :raises DataError: no label of any primary task, or a table that does not fit the schema.
    """
    if warn:
        warn_unseen(targets, frames, where)
    try:
        table = Table.encode(frames, schema, targets, storage)
    except DataError as error:
        raise error.at(where) from None
    primary = [target.task for target in targets if target.task.role == "primary"]
    counts = table.labelled_counts()
    if not any(counts[task.name] for task in primary):
        columns = ", ".join(repr(column) for task in primary for column in task.columns)
        raise DataError(f"{where} has no usable label of any primary task.", do=f"Expected labels in {columns}.")
    return table


def set_aside(sizes: Mapping[str, int], fraction: float, seed: int) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Row numbers that stay and row numbers that are set aside, per source, ascending; one row at least stays."""
    kept, held = {}, {}
    for i, (name, size) in enumerate(sizes.items()):
        order = np.random.default_rng([seed, VALIDATION, i]).permutation(size)
        count = min(round(fraction * size), size - 1)
        held[name], kept[name] = np.sort(order[:count]), np.sort(order[count:])
    return kept, held


def fit_targets(
    tasks: Sequence[Task], frames: Mapping[str, pl.DataFrame], before: Mapping[str, Target] | None = None
) -> tuple[Target, ...]:
    """What the labels of all sources teach each task; a source labels the tasks whose columns it has.

    :param before: targets by task that are taken over where the task is the same and knows all these labels.
    :raises DataError: no source has the columns of a task.
    """
    targets = []
    for task in tasks:
        wanted = list(dict.fromkeys((*task.columns, *task.reads)))
        having = [frame.select(wanted) for frame in frames.values() if set(wanted) <= set(frame.columns)]
        if not having:
            _check_labels([task], {column for frame in frames.values() for column in frame.columns})
            raise DataError(f"no source has all of its columns: {', '.join(wanted)}.", where=f"task {task.name!r}")
        labels = having[0] if len(having) == 1 else pl.concat(having, how="vertical_relaxed")
        earlier = (before or {}).get(task.name)
        known = earlier is not None and earlier.task == task and not earlier.unseen(labels)
        targets.append(earlier if earlier is not None and known else task.fit(labels))
    return tuple(targets)


def _check_labels(tasks: Sequence[Task], columns: Collection[str]) -> None:
    """Every target column is somewhere."""
    for task in tasks:
        for column in (*task.columns, *task.reads):
            if column not in columns:
                raise DataError(
                    f"there is no target column {column!r}.",
                    where=f"task {task.name!r}",
                    do=did_you_mean(column, columns),
                )


def _check_every_source_labels(tasks: Sequence[Task], frames: Mapping[str, Frame]) -> None:
    """A table without any target would take steps and teach nothing."""
    for name, frame in frames.items():
        names = set(names_of(frame))
        if not any(names.issuperset(task.columns) for task in tasks):
            first = tasks[0].columns[0]
            raise DataError(
                "it has no target column of any task.",
                where=f"source {name!r}",
                do=f"{did_you_mean(first, names)} Leave this table out, or check the names of its columns.",
            )


def unseen_labels(targets: Sequence[Target], frames: Mapping[str, Frame]) -> dict[str, dict[str, int]]:
    """Task -> labels that training never saw, with how often they occur; they count as missing."""
    found: dict[str, dict[str, int]] = {}
    for target in targets:
        counts: dict[str, int] = {}
        for frame in frames.values():
            wanted = list(dict.fromkeys((*target.task.columns, *target.task.reads)))
            if set(wanted) <= set(names_of(frame)):
                for label, count in target.unseen(sample(frame.select(wanted))).items():
                    counts[label] = counts.get(label, 0) + count
        if counts:
            found[target.task.name] = counts
    return found


def warn_unseen(targets: Sequence[Target], frames: Mapping[str, Frame], where: str) -> dict[str, dict[str, int]]:
    """Warn about labels that training never saw."""
    found, units = unseen_labels(targets, frames), {target.task.name: target.unit for target in targets}
    for task, counts in found.items():
        unit, taken = ("row", "missing") if units[task] == "row" else ("time", "errors")
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        listing = ", ".join(f"{label!r} ({plural(count, unit)})" for label, count in most[:5])
        more = f" and {len(most) - 5:,} more" if len(most) > 5 else ""
        warnings.warn(
            f"task {task!r}: {where} holds labels that training never saw: {listing}{more}; they count as {taken}.",
            stacklevel=3,
        )
    return found


def _rows(table: Table, chosen: Mapping[str, Rows]) -> Tensor:
    parts = [chosen[name] + span.start for name, span in table.sources.items()]
    return torch.from_numpy(np.concatenate(parts))


def _is_several(data: Data) -> bool:
    """Whether it is a dict of tables, and not of columns."""
    several = isinstance(data, Mapping) and bool(data) and not is_corpus(data)
    return several and all(_is_table(value) for value in data.values())


def _is_table(value: object) -> bool:
    """Whether a value of a dict is a table itself, and not a column."""
    if isinstance(value, str | Path | pl.DataFrame | pl.LazyFrame | Mapping):
        return True
    library = type(value).__module__.split(".")[0]
    return (library == "pandas" and type(value).__name__ == "DataFrame") or library == "datasets"
