"""Rows at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from polytask.data.splits.split import Rows, Split, cut


@dataclass(frozen=True)
class Random(Split):
    """Every row is as likely as any other to be in each part."""

    def divide(self, frame: pl.DataFrame, rows: int, rng: np.random.Generator) -> Sequence[Rows]:
        """Stretches of a random order."""
        return cut(rng.permutation(rows), self.shares)
