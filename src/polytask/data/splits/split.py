"""The contract of a split: which rows train, which choose the checkpoint, and which judge."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.errors import ConfigError, DataError, did_you_mean

Rows = NDArray[np.int64]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split(ABC):
    """A way to divide the rows of a table.

    :param validation: share of the rows that choose the checkpoint.
    :param test: share of the rows that judge; they are used for nothing else.
    """

    validation: float = field(default=0.15, kw_only=True)
    test: float = field(default=0.2, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not (math.isfinite(share) and 0 <= share < 1):
                raise ConfigError(f"expected a share from 0 to below 1, found {share}.", where=f"split.{name}")
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"validation and test take {self.validation} + {self.test} of the rows and leave none to train on.",
                where="split",
            )

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, validation and test."""
        return 1.0 - self.validation - self.test, self.validation, self.test

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that the split looks at."""
        return ()

    @abstractmethod
    def divide(self, frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Sequence[Rows]:
        """The rows of train, validation and test, in any order.

        :param frame: the columns of :attr:`reads`; without any it has no rows to count.
        :param rows: number of rows.
        :raises DataError: the column does not allow it.
        """


def sizes_of(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers nearest to ``count * shares`` that sum to ``count`` (largest remainders)."""
    exact = [count * share for share in shares]
    sizes = [int(e + 1e-9) for e in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (sizes[i] - exact[i], i))
    for i in by_remainder[: count - sum(sizes)]:
        sizes[i] += 1
    return sizes


def cut(rows: Rows, shares: Sequence[float]) -> list[Rows]:
    """Consecutive stretches of ``rows`` in these shares."""
    return np.split(rows, np.cumsum(sizes_of(len(rows), shares))[:-1])


def known_column(frame_columns: Sequence[str], column: str) -> None:
    """Raises a DataError with the nearest name if there is no such column."""
    if not column:
        raise ConfigError("expected the name of a column.", where="split.column")
    if column not in frame_columns:
        raise DataError(f"there is no column {column!r}.", where="split", do=did_you_mean(column, frame_columns))
