"""Quadratic programmes over non-negative numbers: projection of vectors onto the dual of the cone that they span."""

from __future__ import annotations

import numpy as np

from polytask.maths.gramian import Array, Mask
from polytask.maths.lockstep import active_sets

RIDGE = 1e-13
"""Added to the diagonal of unit-diagonal matrices inside solves: nearly equal vectors do not blow a solution up, and
the optimality conditions move by no more than this times the solution."""

PIVOTS = 5
TOLERANCE = 2e-12
"""Slopes that are closer to 0 are rounding or ridge: the ridge alone would bring in variables that nothing needs."""
INDEPENDENT = 1e-9
"""Vectors are linearly independent if all eigenvalues of their cosines are above this."""

SAME = 1e-12
"""Rows that differ by less are one vector given twice."""


def nnls(H: Array, c: Array, guess: Mask | None = None) -> Array:
    """The minimiser of ``x'Hx / 2 + c'x`` over ``x >= 0``, exact up to rounding.

    Active set of Lawson and Hanson on the Gramian: variables enter one by one where the slope is steepest, and leave
    when the unconstrained minimiser over those that are in turns negative. Among several minimisers it takes one with
    few positive entries, which equal rows share equally: then permuting the rows permutes the answer.

    :param H: ``(n, n)``, symmetric, positive semidefinite, about 1 on the diagonal.
    :param c: ``(n,)``.
    :param guess: variables that are probably positive.

    Lawson, Hanson. Solving Least Squares Problems. Prentice-Hall 1974.
    """
    n = len(c)
    x = np.zeros(n)
    slope = c.astype(np.float64)
    inside = np.zeros(n, dtype=bool)
    ridged = H + RIDGE * np.eye(n)
    if guess is not None and guess.any():
        inside |= guess
        x = _descend(ridged, c, x, inside)
        slope = np.where(inside, 0.0, ridged @ x + c)
    size = float(np.abs(c).max(initial=0.0))
    for _ in range(5 * n + 10):
        entering = int(np.argmin(slope))
        if slope[entering] >= -TOLERANCE * (size + float(x.sum())):  # a sum of x terms is rounded, too
            break
        inside[entering] = True
        x = _descend(ridged, c, x, inside)
        stuck = not inside[entering]  # the slope there was rounding
        slope = np.where(inside, 0.0, ridged @ x + c)
        if stuck:
            slope[entering] = 0.0
    return _share(H, c, x)


def _descend(H: Array, c: Array, x: Array, inside: Mask) -> Array:
    """The minimiser over the variables ``inside`` with x >= 0; variables that reach 0 are taken out of ``inside``."""
    while True:
        rows = np.flatnonzero(inside)
        target = np.linalg.solve(H[rows[:, None], rows], -c[rows])
        if target.min(initial=1.0) > 0 or np.isnan(target).any():
            moved = np.zeros(len(x))
            moved[rows] = target
            return moved
        here = x[rows]
        falling = target <= 0
        fraction = here[falling] / (here[falling] - target[falling] + np.finfo(np.float64).tiny)
        here = here + fraction.min() * (target - here)
        here[np.flatnonzero(falling)[fraction <= fraction.min()]] = 0.0
        x = np.zeros(len(x))
        x[rows] = here
        inside[rows[here <= 0]] = False


def _share(H: Array, c: Array, x: Array) -> Array:
    """Equal rows get equal parts of their sum."""
    size = H.diagonal()
    parallel = np.maximum(size, size[:, None]) * (1 - SAME) <= H
    same = parallel & (np.abs(c - c[:, None]) <= SAME * np.abs(c).max())
    count = same.sum(1)
    return x if count.max() == 1 else np.asarray(same @ x / count)


def nnls_residual(H: Array, c: Array, x: Array) -> float:
    """``max_i |min(x_i, (Hx + c)_i)|`` over the largest number in c: 0 at the minimiser of :func:`nnls`."""
    return float(np.abs(np.minimum(x, H @ x + c)).max() / max(np.abs(c).max(), np.finfo(np.float64).tiny))


def dual_projections(cosines: Array) -> Array:
    """What each of n unit vectors needs of the others to conflict with none: ``(n, n)``, 0 or more.

    Row i is the minimiser of ``|u_i + sum_j l_j u_j|`` over ``l >= 0``: the projection of u_i onto
    ``{d : u_j . d >= 0 for all j}`` is ``u_i + sum_j l_j u_j``.

    All rows at once: by block principal pivoting, in which whole sets of variables change sides; it takes few rounds
    unless vectors are nearly dependent. Rows that are open after them are solved in lockstep, one variable at a time,
    and checked.

    :param cosines: ``(n, n)``, positive semidefinite, ones on the diagonal.

    Júdice, Pires. Computers and Operations Research 1994; Kim, Park. SIAM Journal on Scientific Computing 2011.
    """
    n = len(cosines)
    parts = np.zeros((n, n))
    open_rows = np.flatnonzero(cosines.min(1) < 0)
    inside = cosines[open_rows] < 0
    ridged = cosines + RIDGE * np.eye(n)
    for _ in range(PIVOTS):
        if not len(open_rows):
            return parts
        x, wrong = _pivot(ridged, cosines[open_rows], inside)
        done = ~wrong.any(1)
        parts[open_rows[done]] = np.maximum(x[done], 0.0)
        open_rows, inside = open_rows[~done], (inside ^ wrong)[~done]
    inside = active_sets(ridged, cosines[open_rows], TOLERANCE)
    x, wrong = _pivot(ridged, cosines[open_rows], inside)
    parts[open_rows] = np.maximum(x, 0.0)
    for row, guess in zip(open_rows[wrong.any(1)], inside[wrong.any(1)], strict=True):
        parts[row] = nnls(cosines, cosines[row], guess)
    return parts


def simplest_parts(cosines: Array, parts: Array) -> Array:
    """The same sum of unit vectors with few positive parts, which equal vectors share equally.

    Where vectors are linearly dependent, many parts give one sum, and which of them a solver finds hangs on the order
    of the vectors; these do not. Parts of independent vectors are returned as they are.
    """
    try:
        np.linalg.cholesky(cosines - INDEPENDENT * np.eye(len(parts)))
    except np.linalg.LinAlgError:
        c = -(cosines @ parts)
        c[np.abs(c) <= TOLERANCE * parts.sum()] = 0.0
        return nnls(cosines, c)
    return parts


def _pivot(H: Array, c: Array, inside: Mask) -> tuple[Array, Mask]:
    """Minimisers ``(m, n)`` over the variables ``inside``, and the variables that belong on the other side."""
    both = inside[:, :, None] & inside[:, None, :]
    systems = np.where(both, H, np.eye(len(H)))
    x = np.linalg.solve(systems, np.where(inside, -c, 0.0)[:, :, None])[:, :, 0]
    slope = x @ H + c
    rounding = TOLERANCE * (1 + np.abs(x).sum(1, keepdims=True))
    return x, np.where(inside, x < -rounding, slope < -rounding)
