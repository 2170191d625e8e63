"""Many quadratic programmes over non-negative numbers that share their matrix, solved in step with one another.

The algorithm is that of :func:`polytask.maths.cone.nnls`, one change of an active set per round and problem; instead of
solving a system anew, every problem keeps its tableau ``y = A x + q``, in which the variables that are in have changed
places with their slopes (a principal pivot: an update of rank one). A round is a handful of array operations for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polytask.maths.gramian import Array, Mask

DEPENDENT = 1e-10
"""A pivot below this, of 1 at first: the vector lies in the span of those that are in, and entering gains nothing."""


def active_sets(H: Array, c: Array, tolerance: float) -> Mask:
    """Which variables are positive at the minimisers of ``x'Hx / 2 + c_i'x`` over ``x >= 0``: ``(m, n)``.

    Rounding adds up over the rounds: solve for the values anew, and check them.

    :param H: ``(n, n)``, positive definite, about 1 on the diagonal.
    :param c: ``(m, n)``, one problem a row.
    :param tolerance: slopes above minus this, times one and the sum of x, count as 0.
    """
    m, n = c.shape
    answer = np.zeros((m, n), dtype=bool)
    ids = np.arange(m)
    now = _Round(np.repeat(H[None], m, axis=0), c.copy(), np.zeros((m, n)), np.zeros((m, n), dtype=bool))
    for _ in range(5 * n + 10):
        pivots, done = now.advance(tolerance)
        answer[ids[done]] = now.inside[done]
        ids, now = ids[~done], now.rest(~done)
        if not len(ids):
            break
        now.pivot(pivots[~done])
    answer[ids] = now.inside
    return answer


@dataclass
class _Round:
    """Where m problems stand. The only thing here that changes in place: tableaus are large."""

    tableau: Array  # (m, n, n)
    q: Array  # (m, n): minimisers of the variables that are in, slopes of the others
    x: Array  # (m, n), 0 or more
    inside: Mask  # (m, n)

    def advance(self, tolerance: float) -> tuple[np.ndarray, Mask]:
        """Moves x as far as it stays 0 or more; the variable to change next, and which problems are solved."""
        problems = np.arange(len(self.x))
        target = np.where(self.inside, self.q, 0.0)
        falling = self.inside & (target <= 0)
        fraction = np.full(self.x.shape, np.inf)
        np.divide(self.x, self.x - target, out=fraction, where=falling & (self.x > target))
        fraction[falling & (self.x <= target)] = 0.0
        first = fraction.argmin(1)
        blocked = falling.any(1)
        step = np.where(blocked, fraction[problems, first], 1.0)
        self.x += step[:, None] * (target - self.x)
        self.x[problems[blocked], first[blocked]] = 0.0
        dependent = np.einsum("ijj->ij", self.tableau) < DEPENDENT
        slopes = np.where(self.inside | dependent, 0.0, self.q)
        steepest = slopes.argmin(1)
        solved = ~blocked & (slopes[problems, steepest] >= -tolerance * (1 + self.x.sum(1)))
        return np.where(blocked, first, steepest), solved

    def rest(self, kept: Mask) -> _Round:
        """The problems that are left."""
        return self if kept.all() else _Round(self.tableau[kept], self.q[kept], self.x[kept], self.inside[kept])

    def pivot(self, k: np.ndarray) -> None:
        """Variable k of each problem and its slope change places."""
        problems = np.arange(len(k))
        row = self.tableau[problems, k]
        corner = row[problems, k][:, None]
        column = self.tableau[problems, :, k] / corner
        self.tableau -= column[:, :, None] * row[:, None, :]
        self.tableau[problems, :, k] = column
        self.tableau[problems, k] = -row / corner
        self.tableau[problems, k, k] = 1 / corner[:, 0]
        own = self.q[problems, k]
        self.q -= column * own[:, None]
        self.q[problems, k] = -own / corner[:, 0]
        self.inside[problems, k] ^= True
