"""The best constant predictors: what a model without inputs should put out, for each loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def focal_probabilities(mass: Array, gamma: float) -> Array:
    """Probabilities p that minimise ``-sum_c a_c (1 - p_c)^gamma log p_c`` on the simplex.

    For gamma = 0 (cross-entropy) this is ``a / sum a``. Otherwise ``-a_c f'(p_c)`` is one number for all classes, with
    ``f(p) = -(1 - p)^gamma log p``; f is convex, so that number is found by bisection, and each p_c inside it.

    :param mass: positive weights a ``(C,)``, C >= 2.
    """
    share: Array = mass / mass.sum()
    if gamma == 0:
        return share
    low, high = 1e-6, 1e12  # the common slope; the sum of probabilities falls as it rises
    for _ in range(60):  # 41 nats apart, halved
        slope = np.sqrt(low * high)
        total = _at_slope(share, gamma, slope).sum()
        low, high = (slope, high) if total > 1 else (low, slope)
    found = _at_slope(share, gamma, slope)
    probabilities: Array = found / found.sum()
    return probabilities


def _at_slope(share: Array, gamma: float, slope: float) -> Array:
    """``p_c`` with ``-a_c f'(p_c) = slope``, by bisection on log p."""
    low, high = np.full_like(share, -60.0), np.full_like(share, -1e-12)
    for _ in range(50):
        log_p = (low + high) / 2
        p, rest = np.exp(log_p), -np.expm1(log_p)
        steep = share * (rest**gamma / p - gamma * rest ** (gamma - 1) * log_p) > slope
        low, high = np.where(steep, log_p, low), np.where(steep, high, log_p)
    return np.exp((low + high) / 2)


def weighted_quantile(values: Array, weights: Array, level: float) -> float:
    """The smallest value at which ``level`` of the weight is reached: it minimises the pinball loss."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    index = np.searchsorted(reached, level * reached[-1] * (1 - 1e-12))
    return float(values[order[min(int(index), len(order) - 1)]])


def huber_location(values: Array, weights: Array, delta: float) -> float:
    """The constant c that minimises ``sum w huber_delta(y - c)``: the root of a falling function, by bisection."""
    low, high = float(values.min()), float(values.max())
    for _ in range(100):
        middle = (low + high) / 2
        pull = float(np.sum(weights * np.clip(values - middle, -delta, delta)))
        low, high = (middle, high) if pull > 0 else (low, middle)
    return (low + high) / 2
