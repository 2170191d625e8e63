"""Proximal operators and projections, as pure functions of arrays.

``prox(V, t)`` is the minimiser of ``1/2 ||W - V||^2 + t penalty(W)``. A feature is a column of (T, d), a task a row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from polytask.linear.arrays import Array


def soft(V: Array, t: float) -> Array:
    """Soft thresholding: the operator of ``sum |w|``."""
    return np.asarray(np.sign(V) * np.maximum(np.abs(V) - t, 0.0))


def shrink(V: Array, t: float, axis: int) -> Array:
    """Group shrinkage ``(1 - t / ||v||)_+ v``: the operator of the sum of the norms along ``axis``."""
    lengths = np.sqrt(np.square(V).sum(axis=axis, keepdims=True))
    return np.asarray(V * np.maximum(1 - t / np.maximum(lengths, np.finfo(float).tiny), 0.0))


def l1_ball(V: Array, radius: float) -> Array:
    """Projection of every row on ``{||v||_1 <= radius}`` (Duchi et al., ICML 2008), by sorting."""
    size = np.abs(V)
    ordered = -np.sort(-size, axis=-1)
    count = np.arange(1, V.shape[-1] + 1)
    levels = (np.cumsum(ordered, axis=-1) - radius) / count
    active = np.maximum((ordered > levels).sum(axis=-1, keepdims=True), 1)
    level = np.take_along_axis(levels, active - 1, axis=-1)
    return np.asarray(np.sign(V) * np.maximum(size - np.maximum(level, 0.0), 0.0))


def largest_entries(V: Array, t: float) -> Array:
    """The operator of the sum over features of the largest ``|w|`` over tasks: Moreau's identity with ``l1_ball``."""
    return V - l1_ball(V.T, t).T


def capped_simplex(a: Array, total: float) -> Array:
    """Projection of a vector on ``{0 <= x <= 1, sum x = total}``: ``clip(a - shift)``, the shift by interpolation."""
    knots = np.unique(np.concatenate([a, a - 1]))
    sums = np.clip(a - knots[:, None], 0, 1).sum(axis=1)  # falling in the shift, linear between knots
    return np.asarray(np.clip(a - np.interp(total, sums[::-1], knots[::-1]), 0, 1))


def singular_values(V: Array) -> Array:
    """In falling order."""
    return np.asarray(np.linalg.svd(V, compute_uv=False))


def map_singular_values(V: Array, function: Callable[[Array], Array], cut: float = 1e-3) -> Array:
    """Replace the singular values, in falling order, by ``function`` of them; the vectors stay.

    Through the smaller Gram matrix, several times faster than an SVD, if no value below ``cut`` times the largest is
    kept: a value ``s`` has the error ``eps s_1^2 / s`` there, so what is kept is right to ``eps / cut``.
    """
    tall = V.shape[0] >= V.shape[1]
    squares, Q = np.linalg.eigh(V.T @ V if tall else V @ V.T)
    s, Q = np.sqrt(np.maximum(squares[::-1], 0.0)), Q[:, ::-1]
    kept = function(s)
    if np.any(kept[s <= cut * s[0]] > 0):
        U, s, Vt = np.linalg.svd(V, full_matrices=False)
        return np.asarray((U * function(s)) @ Vt)
    some = kept > 0
    factor = (Q[:, some] * (kept[some] / s[some])) @ Q[:, some].T
    return np.asarray(V @ factor if tall else factor @ V)


def squared_sum(s: Array, t: float) -> Array:
    """The operator of ``(sum s)^2`` on falling ``s >= 0``: ``(s - 2 t S)_+`` with ``S`` the sum of the result."""
    count = np.arange(1, len(s) + 1)
    sums = np.cumsum(s) / (1 + 2 * t * count)
    active = int((s > 2 * t * sums).sum())
    return np.maximum(s - 2 * t * sums[active - 1], 0.0) if active else np.zeros_like(s)


def waterfill(s: Array, total: float, floor: float, offset: float = 0.0) -> Array:
    """The ``m`` with ``0 <= m <= 1``, ``sum m = total`` that minimises ``sum s^2 / (m + floor + offset)``.

    ``m = clip(level s - floor - offset, 0, 1)``; values that are zero get none, and all get 1 if there are too few.
    """
    base = floor + offset
    positive = s > s.max(initial=0.0) * 1e-15
    if positive.sum() <= total:
        return np.asarray(positive, dtype=np.float64)
    knots = np.unique(np.concatenate([base / s[positive], (1 + base) / s[positive]]))
    sums = np.clip(knots[:, None] * s[positive] - base, 0, 1).sum(axis=1)
    m = np.zeros_like(s)
    m[positive] = np.clip(np.interp(total, sums, knots) * s[positive] - base, 0, 1)
    return m
