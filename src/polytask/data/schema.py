"""The schema: how the columns of a table become inputs, inferred on the training split only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import make
from polytask.data.columns import COLUMNS
from polytask.data.columns.categorical import Categorical
from polytask.data.columns.column import Column
from polytask.data.infer import Note, learn
from polytask.data.options import SchemaOptions
from polytask.data.pieces import Frame, height_of, names_of, pieces, sample
from polytask.errors import ConfigError, DataError, did_you_mean

Sources: TypeAlias = Mapping[str, Frame]
VERSION = 1


@dataclass(frozen=True)
class Schema:
    """The fitted columns, in the order of the training table.

    :param columns: what became of each feature.
    :param optional: features that some training source lacked altogether: a table may lack them too, and its rows
        count as missing there. Any other feature that a table lacks is an error.
    :param notes: what was decided about every column, dropped ones included.

    >>> frame = pl.DataFrame({"age": [31, 45, None, 60], "city": ["Bern", "Basel", "Bern", "Basel"]})
    >>> schema = Schema.fit(frame)
    >>> schema.encode(frame).numeric.shape  # age and its missing flag
    torch.Size([4, 2])
    >>> schema.spec.cardinalities  # missing, Basel, Bern
    (3,)
    """

    columns: tuple[Column, ...]
    optional: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @classmethod
    def fit(
        cls,
        frame: Frame | Sources,
        *,
        exclude: Collection[str] = (),
        features: Collection[str] = (),
        options: SchemaOptions | None = None,
    ) -> Schema:
        """Infers a schema from the training split, and from nothing else.

        :param frame: the training rows; several sources, by name, may have different columns. Of a lazy table
            1,000,000 evenly spaced rows are read.
        :param exclude: columns that are no features, such as the targets.
        :param features: the only columns to use, in any order; default: all that are not excluded. A column named here
            is not dropped for looking like an identifier.
        :raises DataError: unknown columns, free text, nothing left to learn from.
        """
        chosen = options or SchemaOptions()
        sources = frame if isinstance(frame, Mapping) else {"": frame}
        columns = _union(sources)
        for named, what in ((features, "features"), (exclude, "exclude"), (chosen.categorical, "categorical")):
            _check_known(named, columns, what)
        left_out, wanted = set(exclude), set(features) or set(columns)
        names = [c for c in columns if c in wanted and c not in left_out]
        there = {name: set(names_of(source)) for name, source in sources.items()}
        table = _stack({name: sample(source.select([c for c in names if c in there[name]]))
                        for name, source in sources.items()})  # fmt: skip
        if names and table.height == 0:
            raise DataError("the training table has no rows.", do="A schema is learned from at least one row.")
        named = set(features)
        learned = [learn(table[name], chosen, keep=name in named) for name in names]
        kept = tuple(column for column, _ in learned if column is not None)
        if not kept:
            dropped = "; ".join(f"{note.column}: {note.text}" for _, note in learned[:10])
            raise DataError(
                f"no feature is left ({dropped or 'the table has targets only'}).",
                where="features",
                do="Give a table with columns to learn from.",
            )
        optional = [c.name for c in kept if any(c.name not in names for names in there.values())]
        return cls(kept, tuple(optional), tuple(note for _, note in learned))

    @cached_property
    def spec(self) -> InputSpec:
        """What an encoder must know of the inputs."""
        edges = tuple(edge for column in self.columns for edge in column.inner_edges)
        return InputSpec(
            numeric=len(edges),
            cardinalities=tuple(c.cardinality for c in self.columns if c.cardinality),
            edges=edges if any(edges) else (),
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """The features that are categories; in a CSV they stay text whatever they look like."""
        return tuple(column.name for column in self.columns if isinstance(column, Categorical))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(column.name for column in self.columns)

    def encode(self, frame: Frame) -> Inputs:
        """A table as inputs: columns in any order, extra ones ignored, read piece by piece.

        :raises DataError: columns that are missing, or values of another type than in training, with their row.
        """
        rows = height_of(frame)
        numeric = np.empty((rows, self.spec.numeric), np.float32)
        codes = np.empty((rows, len(self.spec.cardinalities)), np.int64)
        for offset, piece in pieces(frame, self.found_in(names_of(frame))):
            end = offset + piece.height
            self.write(piece, numeric[offset:end], codes[offset:end], offset)
        return Inputs(torch.from_numpy(numeric), torch.from_numpy(codes))

    def found_in(self, names: Collection[str]) -> list[str]:
        """The columns of the schema among ``names``.

        :raises DataError: one that training always had is missing; the nearest names are offered.
        """
        there = set(names)
        absent = [name for name in self.names if name not in there and name not in self.optional]
        if absent:
            shown = ", ".join(repr(name) for name in absent[:10]) + (", ..." if len(absent) > 10 else "")
            raise DataError(
                f"{len(absent)} of {len(self.columns)} feature columns are missing: {shown}.",
                do=did_you_mean(absent[0], there - set(self.names)),
            )
        return [name for name in self.names if name in there]

    def write(self, piece: pl.DataFrame, numeric: NDArray[Any], codes: NDArray[Any], offset: int = 0) -> None:
        """Encodes a piece of a table into ``numeric`` ``(n, F)`` and ``codes`` ``(n, C)``."""
        there = set(piece.columns)
        at, code = 0, 0
        for column in self.columns:
            series = piece[column.name] if column.name in there else _blank(column.name, piece.height)
            encoded = column.encode(series, offset)
            if column.cardinality:
                codes[:, code] = encoded
                code += 1
            else:
                numeric[:, at : at + column.width] = encoded
                at += column.width

    def to_json(self) -> dict[str, Any]:
        """The schema as JSON values; :meth:`from_json` gives an equal schema back."""
        return {
            "version": VERSION,
            "columns": [COLUMNS.config(column) for column in self.columns],
            "optional": list(self.optional),
            "notes": [asdict(note) for note in self.notes],
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> Schema:
        """The schema again.

        :raises ConfigError: of another version, incomplete or of wrong types, with the path to the key.
        """
        if mapping.get("version") != VERSION:
            raise ConfigError(
                f"expected a schema of version {VERSION}, found {mapping.get('version')!r}.",
                where="schema.version",
                do="It was written by another version of Polytask; use that version, or train again.",
            )
        if not all(isinstance(mapping.get(key), list | tuple) for key in ("columns", "optional", "notes")):
            raise ConfigError("expected lists of columns, optional and notes.", where="schema")
        columns = tuple(
            COLUMNS.build(c, where=f"schema.columns.{i}", trusted=False) for i, c in enumerate(mapping["columns"])
        )
        notes = tuple(make(Note, note, where=f"schema.notes.{i}") for i, note in enumerate(mapping["notes"]))
        return cls(columns, tuple(mapping["optional"]), notes)


def _blank(name: str, rows: int) -> pl.Series:
    return pl.Series(name, [None], dtype=pl.Null).new_from_index(0, rows)


def _union(sources: Sources) -> list[str]:
    """The column names of all sources, in the order of their first appearance."""
    return list(dict.fromkeys(name for frame in sources.values() for name in names_of(frame)))


def _check_known(named: Collection[str], columns: Collection[str], what: str) -> None:
    for name in named:
        if name not in columns:
            raise DataError(f"there is no column {name!r}.", where=what, do=did_you_mean(name, columns))


def _stack(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The sources one under the other; a column that one lacks is missing there."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    for column in _union(frames):
        found = {name: frame[column].dtype for name, frame in frames.items() if column in frame.columns}
        numeric = [name for name, dtype in found.items() if dtype.is_numeric()]
        words = [name for name, dtype in found.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
        if numeric and words:
            raise DataError(
                f"it holds numbers in source {numeric[0]!r} and words in source {words[0]!r}.",
                where=f"column {column!r}",
                do="Bring it to one type, rename it in one of them, or exclude it.",
            )
    return pl.concat(frames.values(), how="diagonal_relaxed")
