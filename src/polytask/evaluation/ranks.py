"""Mean rank of several methods over several metrics."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polytask.errors import UserError

Array = NDArray[np.float64]
Ties = Literal["average", "min", "dense"]


def mean_rank(values: ArrayLike, higher_is_better: ArrayLike, *, ties: Ties = "average") -> Array:
    """Rank the M methods on each metric, 1 = best, and average over the metrics.

    :param values: ``(M, T)``, one row per method.
    :param higher_is_better: ``(T,)`` directions.
    :param ties: ``"average"`` shares the places that equal values take, ``"min"`` gives each the best of them,
        ``"dense"`` counts distinct values only (so that ties push nobody back; common in published tables).
    :returns: ``(M,)``.
    :raises polytask.errors.UserError: a value that is not a number, or shapes that do not fit.

    >>> mean_rank([[0.9, 1.0], [0.8, 0.5]], [True, False]).tolist()
    [1.5, 1.5]
    """
    table, up = np.asarray(values, np.float64), np.asarray(higher_is_better, bool)
    if table.ndim != 2 or up.shape != (table.shape[1],) or table.size == 0:
        raise UserError(f"expected values (methods, metrics) and one direction per metric, found {table.shape}.")
    if np.isnan(table).any():
        row, column = np.argwhere(np.isnan(table))[0].tolist()
        raise UserError("expected a number, found NaN.", where=f"method {row}, metric {column}")
    if ties not in ("average", "min", "dense"):
        raise UserError(f"expected ties 'average', 'min' or 'dense', found {ties!r}.")
    losses = np.where(up, -table, table)
    return np.asarray(np.mean([_ranks(column, ties) for column in losses.T], 0))


def _ranks(losses: Array, ties: Ties) -> Array:
    """Ranks of one metric ``(M,)``, lower is better."""
    distinct, place, counts = np.unique(losses, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts + 1.0
    by_value = {"dense": np.arange(1.0, len(distinct) + 1), "min": first, "average": first + (counts - 1) / 2}
    return np.asarray(by_value[ties][place])
