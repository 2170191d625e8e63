"""Gradient surgery: components of vectors along vectors that they conflict with are changed, one after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polytask.maths.gramian import Array

Order = NDArray[np.int64]


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
