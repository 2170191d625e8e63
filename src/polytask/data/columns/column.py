"""The contract of a column: how one column of a table becomes numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import polars as pl
from numpy.typing import NDArray


class Column(ABC):
    """What training learned about one column: a frozen dataclass, so its fields are its JSON.

    A column is either numeric, ``width`` columns of :attr:`~polytask.batch.Inputs.numeric`, or categorical, one column
    of codes below ``cardinality``.
    """

    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """Numeric columns that it fills; 0 for a category."""

    @property
    def cardinality(self) -> int:
        """Number of codes, code 0 included; 0 for numbers."""
        return 0

    @property
    def inner_edges(self) -> tuple[tuple[float, ...], ...]:
        """For each of its numeric columns the inner edges of the bins; empty for flags."""
        return ((),) * self.width

    @abstractmethod
    def encode(self, series: pl.Series, offset: int = 0) -> NDArray[Any]:
        """``(N, width)`` float32, or ``(N,)`` int32 codes.

        :param offset: rows before this piece of the table, for row numbers in messages.
        :raises polytask.errors.DataError: a value of the wrong kind, with its row.
        """

    @abstractmethod
    def describe(self) -> str:
        """What was decided, in a few words, for the notes of the schema."""
