"""A data set as Polytask hands it out, and its card: where it comes from, and figures counted in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from polytask.errors import DataError
from polytask.tasks.task import Task


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from, in words; the part of a card that is known before anything is read.

    :param name: the name that ``load`` or ``fetch`` takes.
    :param title: one line for tables.
    :param source: who published the data, with the address.
    :param licence: the licence, as its source states it.
    :param attribution: whom to name or cite.
    :param collection: where, when and about whom the data were collected.
    :param notes: what was done to the source, and why: exclusions against leakage, codes, traps.
    """

    name: str
    title: str
    source: str
    licence: str
    attribution: str
    collection: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskFacts:
    """One task of a card.

    :param kind: the task's class in lower case, for example ``"binary"``.
    :param missing: share of rows without this label, 0 to 1.
    """

    name: str
    kind: str
    role: str
    missing: float


@dataclass(frozen=True)
class Card:
    """A data set on one page: its origin, and figures counted in the table that is in use."""

    origin: Origin
    rows: int
    features: int
    features_missing: float
    tasks: tuple[TaskFacts, ...]


@dataclass(frozen=True)
class Dataset:
    """Features and targets in one table, with the tasks they are meant for.

    :param frame: features, targets, and the ``group``, ``time`` and ``split`` columns if there are any.
    :param tasks: what to learn; their columns are in ``frame``.
    :param features: columns a model may see. Everything else in ``frame`` is there to split by, and has
        to stay out of the schema: give :attr:`table` to a model, or ``frame`` with :attr:`exclude`.
    :param group: column whose rows belong together (one patient, one hospital): split by it, not at random.
    :param time: column to split by when the model is meant for the future.
    :param split: column that holds the official split (``"train"``, ``"test"``, maybe ``"validation"``), if the source
        has one.
    :param sources: one table per task or group of tasks, where the set comes that way; else empty.
    """

    name: str
    frame: pl.DataFrame
    tasks: tuple[Task, ...]
    features: tuple[str, ...]
    origin: Origin
    group: str | None = None
    time: str | None = None
    split: str | None = None
    sources: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [*self.features, *self.targets, *(c for c in (self.group, self.time, self.split) if c)]
        if absent := [column for column in named if column not in self.frame.columns]:
            raise DataError(
                f"columns named but not in the table: {', '.join(absent)}.", where=f"data set {self.name!r}"
            )
        if both := sorted(set(self.features) & set(self.targets)):
            raise DataError(f"columns are features and targets: {', '.join(both)}.", where=f"data set {self.name!r}")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns of all tasks."""
        return tuple(dict.fromkeys(column for task in self.tasks for column in task.columns))

    @property
    def table(self) -> pl.DataFrame:
        """Features and targets alone: what a model may be given."""
        return self.frame.select(*self.features, *self.targets)

    @property
    def exclude(self) -> tuple[str, ...]:
        """Columns of ``frame`` that are neither features nor targets."""
        return tuple(column for column in self.frame.columns if column not in {*self.features, *self.targets})

    @property
    def train(self) -> pl.DataFrame:
        """The rows of the official training split, without the split column."""
        return self._part("train")

    @property
    def test(self) -> pl.DataFrame:
        """The rows of the official test split, without the split column."""
        return self._part("test")

    @property
    def validation(self) -> pl.DataFrame | None:
        """The rows of the official validation split; None where there is none."""
        if self.split is None or not (self.frame[self.split] == "validation").any():
            return None
        return self._part("validation")

    @property
    def card(self) -> Card:
        """The card, counted now."""
        features = self.frame.select(self.features)
        cells = features.height * features.width
        return Card(
            origin=self.origin,
            rows=self.frame.height,
            features=features.width,
            features_missing=sum(map(missing, features.iter_columns())) / cells if cells else 0.0,
            tasks=tuple(self._facts(task) for task in self.tasks),
        )

    def _part(self, part: str) -> pl.DataFrame:
        if self.split is None:
            raise DataError(
                "this data set has no official split.",
                where=f"data set {self.name!r}",
                do="Split its `frame` yourself (polytask.data.split); its card says along which column.",
            )
        return self.frame.filter(pl.col(self.split) == part).drop(self.split)

    def _facts(self, task: Task) -> TaskFacts:
        table = next((t for t in self.sources.values() if set(task.columns) <= set(t.columns)), self.frame)
        absent = sum(missing(table[column]) for column in task.columns)
        share = absent / (table.height * len(task.columns)) if table.height else 0.0
        return TaskFacts(task.name, type(task).__name__.lower(), task.role, share)


def missing(column: pl.Series) -> int:
    """How many values are null or NaN."""
    return column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0)
