"""Quadratic programmes over non-negative numbers: projection of vectors onto the dual of the cone that they span."""

from __future__ import annotations

import numpy as np

from polytask.maths.gramian import Array

RIDGE = 1e-12
"""Added to the diagonal of unit-diagonal matrices inside solves: nearly equal vectors do not blow a solution up, and
the optimality conditions move by no more than this times the solution."""

TOLERANCE = 1e-13
SAME = 1e-12
"""Rows that differ by less are one vector given twice."""


def nnls(H: Array, c: Array) -> Array:
    """The minimiser of ``x'Hx / 2 + c'x`` over ``x >= 0``, exact up to rounding.

    Active set of Lawson and Hanson on the Gramian: variables enter one by one where the slope is steepest, and leave
    when the unconstrained minimiser over those that are in turns negative. Among several minimisers it takes one with
    few positive entries, which equal rows share equally: then permuting the rows permutes the answer.

    :param H: ``(n, n)``, symmetric, positive semidefinite, about 1 on the diagonal.
    :param c: ``(n,)``.

    Lawson, Hanson. Solving Least Squares Problems. Prentice-Hall 1974.
    """
    n = len(c)
    x = np.zeros(n)
    inside = np.zeros(n, dtype=bool)
    tolerance = TOLERANCE * max(float(np.abs(c).max(initial=0.0)), np.finfo(np.float64).tiny)
    slope = c.astype(np.float64)
    ridged = H + RIDGE * np.eye(n)
    for _ in range(5 * n + 10):
        entering = int(np.argmin(slope))
        if slope[entering] >= -tolerance:
            break
        inside[entering] = True
        x, stuck = _descend(ridged, c, x, inside, entering)
        slope = ridged @ x + c
        slope[inside] = 0.0
        if stuck:  # the slope there was rounding
            slope[entering] = 0.0
    return _share(H, c, x)


def _descend(H: Array, c: Array, x: Array, inside: np.ndarray, entering: int) -> tuple[Array, bool]:
    """The minimiser over the variables ``inside`` with x >= 0; variables that reach 0 are taken out of ``inside``."""
    while True:
        rows = np.flatnonzero(inside)
        target = np.linalg.solve(H[rows[:, None], rows], -c[rows])
        if target.min(initial=1.0) > 0:
            moved = np.zeros(len(x))
            moved[rows] = target
            return moved, False
        here = x[rows]
        falling = target <= 0
        fraction = here[falling] / (here[falling] - target[falling] + np.finfo(np.float64).tiny)
        here = here + fraction.min() * (target - here)
        here[np.flatnonzero(falling)[fraction <= fraction.min()]] = 0.0
        x = np.zeros(len(x))
        x[rows] = here
        inside[rows[here <= 0]] = False
        if not inside[entering]:
            return x, True


def _share(H: Array, c: Array, x: Array) -> Array:
    """Equal rows get equal parts of their sum."""
    size = H.diagonal()
    parallel = np.maximum(size, size[:, None]) * (1 - SAME) <= H
    same = parallel & (np.abs(c - c[:, None]) <= SAME * np.abs(c).max())
    count = same.sum(1)
    return x if count.max() == 1 else np.asarray(same @ x / count)
