"""Paired tests for one list of differences: sign flips and the bootstrap.

For differences over data sets or splits that are alike a priori. They are no replacement for the verdicts of
:mod:`polytask.evaluation.verdict`: over test rows alone they ignore the seeds, and over S seeds alone the smallest
sign-flip p-value is ``2^(1-S)``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polytask.errors import UserError
from polytask.evaluation.contract import Interval

Array = NDArray[np.float64]

_EXACT = 16  # up to 2^16 sign patterns are counted one by one


def sign_flip_p(
    differences: ArrayLike,
    rng: np.random.Generator,
    *,
    alternative: Literal["two-sided", "greater"] = "two-sided",
    draws: int = 10_000,
) -> float:
    """Chance of a mean at least as far from 0 when every difference is as likely to have the other sign.

    Exact for up to 16 differences; beyond that ``(hits + 1) / (draws + 1)`` over random sign patterns.

    :param differences: ``(n,)``.
    :param rng: used beyond 16 differences only.
    :param alternative: ``"greater"`` asks only about means above 0.
    """
    values = _values(differences)
    n = len(values)
    exact = n <= _EXACT
    if exact:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = (1.0 - 2.0 * patterns) @ values
    else:
        sums = np.array([rng.choice((-1.0, 1.0), n) @ values for _ in range(draws)])
    observed = values.sum()
    slack = 1e-12 * np.abs(values).sum()  # sums of the same numbers in another order are ties
    if alternative == "two-sided":
        hits = int(np.count_nonzero(np.abs(sums) >= abs(observed) - slack))
    else:
        hits = int(np.count_nonzero(sums >= observed - slack))
    return hits / len(sums) if exact else (hits + 1) / (draws + 1)


def bootstrap_interval(
    differences: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, draws: int = 10_000
) -> Interval:
    """Percentile interval of the mean: quantiles over ``draws`` resamples with replacement.

    :param differences: ``(n,)``. :param level: between 0 and 1.

    Efron, Tibshirani. An Introduction to the Bootstrap. Chapman and Hall 1993.
    """
    values = _values(differences)
    means = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(low, high)


def _values(differences: ArrayLike) -> Array:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise UserError(f"expected a list of finite differences, found shape {values.shape}.")
    return values
