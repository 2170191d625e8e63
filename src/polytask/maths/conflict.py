"""Gradient surgery: components of vectors along vectors that they conflict with are changed, one after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polytask.maths.gramian import Array

Order = NDArray[np.int64]
CLOSEST = 1 - 1e-8
NOTHING = 1e-12
"""Length, in units of the vector that it was, at which a vector has been cancelled by others."""


def remove_conflicts(cosines: Array, order: Order) -> Array:
    """Coefficients ``(n, n)`` of unit vectors after each was projected off those that it conflicts with.

    Row i begins as ``d = u_i``; for every other j in ``order[i]``: if ``d . u_j < 0`` then ``d -= (d . u_j) u_j``.
    All rows are worked on at once, one position of the order after another.

    :param cosines: ``(n, n)``, ones on the diagonal.
    :param order: ``(n, n)``: permutations of 0..n-1; i itself is passed over.
    """
    n = len(cosines)
    rows = np.arange(n)
    coefficients = np.eye(n)
    products = cosines.copy()  # products[i, j] = d_i . u_j
    for column in order.T:
        steps = -np.minimum(products[rows, column], 0.0)
        steps[column == rows] = 0.0
        coefficients[rows, column] += steps
        products += steps[:, None] * cosines[column]
    return coefficients


def raise_cosines(cosines: Array, targets: Array, order: Order) -> tuple[Array, Array]:
    """Coefficients ``(n, n)`` of unit vectors after each was turned towards those that it agrees with too little.

    Row i begins as ``d = u_i``; for every other j in ``order[i]``: if ``cos(d, u_j) < targets[i, j]`` then d becomes
    ``d + a u_j`` with the a above 0 that makes the cosine the target. Targets above 1 - 1e-8 count as that.

    :returns: the coefficients, and the cosines ``(n, n)`` that were met on the way (the targets on the diagonal).
    """
    n = len(cosines)
    rows = np.arange(n)
    coefficients = np.eye(n)
    products = cosines.copy()  # products[i, j] = d_i . u_j
    lengths = np.ones(n)
    met = targets.copy()
    for column in order.T:
        other = column != rows
        along = products[rows, column]
        phi = np.where(lengths > NOTHING, np.clip(along / lengths, -1.0, 1.0), 0.0)
        target = np.clip(targets[rows, column], -CLOSEST, CLOSEST)
        steps = lengths * (target * np.sqrt((1 - phi * phi) / (1 - target * target)) - phi)
        steps = np.where(other & (phi < target), np.maximum(steps, 0.0), 0.0)
        met[rows[other], column[other]] = phi[other]
        coefficients[rows, column] += steps
        products += steps[:, None] * cosines[column]
        squares = lengths * lengths + steps * (2 * along + steps)
        lengths = np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
    return coefficients, met
