"""A feature that is a target in disguise."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.data.cells import words_of
from polytask.data.pieces import Frame, names_of, sample
from polytask.errors import DataError

CHANCE = 1e-6
"""Columns that agree are refused if they would do so by chance less often than this."""
ROWS = 100_000
"""Evenly spaced rows that are compared."""
GLANCE = 256
"""Rows that rule out nearly all pairs before the rest is compared."""
Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def check_leakage(frame: Frame, features: Collection[str], target_columns: Collection[str]) -> None:
    """Refuses features that equal a target, or do so after a one-to-one recoding or a change of units.

    Compared are the rows where both are present. For a target with level counts ``n_1, ..., n_k`` in ``n`` rows, a
    shuffled copy agrees with probability ``n_1! ... n_k! / n!``, up to recoding with at most ``k!`` times that; only
    agreement that chance does not explain (below one in a million) is refused. A column of names that are all distinct
    is thus never refused for being one-to-one, nor is a tiny table for a coincidence. A change of units is a straight
    line through all points.

    :param features: columns that are not targets themselves.
    :raises DataError: with the names of the feature and the target.
    """
    names = names_of(frame)
    labels, there = set(target_columns), set(names)
    targets = [name for name in target_columns if name in there]
    others = [name for name in features if name in there and name not in labels]
    rows = sample(frame.select([*others, *targets]), ROWS)
    seen = {name: _Seen(_codes(rows[name]), _floats(rows[name])) for name in (*others, *targets)}
    for target in targets:
        for feature in others:
            how = _resemblance(seen[feature], seen[target])
            if how:
                raise _leak(feature, target, how)


@dataclass(frozen=True)
class _Seen:
    """One column: its levels as whole numbers, -1 where missing, and its numbers, None if it has none."""

    codes: Codes
    floats: Floats | None


def _resemblance(feature: _Seen, target: _Seen) -> str:
    """How one gives the other away, or ``""``."""
    if feature.floats is not None and target.floats is not None:
        if _equal(feature.floats, target.floats):
            return "they are equal in every row"
        if _on_a_line(feature.floats[:GLANCE], target.floats[:GLANCE]) and _on_a_line(feature.floats, target.floats):
            return "one is the other in different units in every row"
    return "they correspond one to one in every row" if _recoded(feature.codes, target.codes) else ""


def _leak(feature: str, target: str, how: str) -> DataError:
    return DataError(
        f"the feature {feature!r} gives the target {target!r} away: {how}.",
        where="features",
        do=f"Leave it out with exclude=[{feature!r}], or, if it is a target too, declare it as a task.",
    )


def _codes(column: pl.Series) -> Codes:
    """Levels as whole numbers, -1 where missing."""
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        return np.full(len(column), -1)
    return words_of(column).rank("dense").cast(pl.Int64).fill_null(0).to_numpy().astype(np.int64) - 1


def _floats(column: pl.Series) -> Floats | None:
    if not column.dtype.is_numeric():
        return None
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _equal(feature: Floats, target: Floats) -> bool:
    """Whether the numbers are the same where both are there, and chance does not explain it."""
    if not _same(feature[:GLANCE], target[:GLANCE]) or not _same(feature, target):
        return False
    both = ~np.isnan(feature) & ~np.isnan(target)
    return _log_chance(np.unique(target[both], return_inverse=True)[1], recoded=False) < math.log(CHANCE)


def _same(a: Floats, b: Floats) -> bool:
    return bool(((a == b) | np.isnan(a) | np.isnan(b)).all())


def _recoded(feature: Codes, target: Codes) -> bool:
    """Whether the levels correspond one to one, and chance does not explain it."""
    if not _one_to_one(feature[:GLANCE], target[:GLANCE]):
        return False
    both = (feature >= 0) & (target >= 0)
    return _one_to_one(feature, target) and _log_chance(target[both]) < math.log(CHANCE)


def _one_to_one(feature: Codes, target: Codes) -> bool:
    both = (feature >= 0) & (target >= 0)
    a, b = feature[both], target[both]
    if len(a) == 0:
        return True
    pairs = len(np.unique(a * (int(b.max()) + 1) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))


def _log_chance(levels: Codes, *, recoded: bool = True) -> float:
    counts = np.unique(levels, return_counts=True)[1]
    ways = sum(math.lgamma(count + 1) for count in counts.tolist()) + recoded * math.lgamma(len(counts) + 1)
    return ways - math.lgamma(len(levels) + 1)


def _on_a_line(x: Floats, y: Floats) -> bool:
    """Whether all points with both numbers lie on one line, with too many levels for :func:`_recoded` to judge."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < 20 or len(np.unique(x)) < 10:
        return False
    x, y = x / np.abs(x).max(), y / (np.abs(y).max() or 1.0)
    x, y = x - x.mean(), y - y.mean()
    if not y.any():
        return False
    slope = float(x @ y) / float(x @ x)
    return bool(np.abs(y - slope * x).max() < 1e-6 * np.abs(y).max())
