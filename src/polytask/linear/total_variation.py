"""The fused-lasso operator along a chain, exact, for all features at once.

Dynamic programming on the derivative of the value function (Johnson, J. Comput. Graph. Stat. 2013): piecewise linear
with at most two new knots per step, kept in one array per feature; clipping to +-t removes knots at both ends.
"""

from __future__ import annotations

import numpy as np

from polytask.linear.arrays import Array, Codes


def total_variation(V: Array, t: float) -> Array:
    """The minimiser of ``1/2 ||w - v||^2 + t sum_k |w_k+1 - w_k|`` for every row of ``V`` (rows, length)."""
    rows, length = V.shape
    if length == 1 or t == 0:
        return V.copy()
    message = _Derivative(rows, length)
    low, high = np.empty((length - 1, rows)), np.empty((length - 1, rows))
    for k in range(length - 1):
        message.add(V[:, k])
        low[k] = message.clip(-t, end=0)
        high[k] = message.clip(t, end=1)
    message.add(V[:, -1])
    out = np.empty_like(V)
    out[:, -1] = message.clip(0.0, end=0)
    for k in range(length - 2, -1, -1):
        out[:, k] = np.clip(out[:, k + 1], low[k], high[k])
    return out


class _Derivative:
    """A rising piecewise linear function per row, by its knots and the change of line at each.

    Lines are ``slope x + level``. ``outer[0]`` and ``outer[1]`` hold the line left of the first and right of the last
    knot; at a knot the line changes by ``jump``.
    """

    def __init__(self, rows: int, length: int) -> None:
        self.rows = np.arange(rows)
        self.knots = np.empty((rows, 2 * length + 2))
        self.jumps = np.empty((rows, 2 * length + 2, 2))
        self.ends = [np.full(rows, length + 1), np.full(rows, length)]  # first and last knot; empty at the start
        self.outer = np.zeros((2, rows, 2))

    def add(self, v: Array) -> None:
        """Add ``x - v``, the derivative of the next squared distance."""
        self.outer[:, :, 0] += 1
        self.outer[:, :, 1] -= v

    def clip(self, bound: float, end: int) -> Array:
        """Clip from below (end 0) or above (end 1) at ``bound``; where the function crosses the bound is returned."""
        line, step = self.outer[end], (1, -1)[end]
        sign = float(step)
        waiting = self.rows
        while len(waiting):
            at = self.ends[end][waiting]
            waiting, at = self._with_knots(waiting, at)
            knot = self.knots[waiting, at]
            passed = sign * (line[waiting, 0] * knot + line[waiting, 1] - bound) < 0
            waiting, at = waiting[passed], at[passed]
            line[waiting] += sign * self.jumps[waiting, at]
            self.ends[end][waiting] += step
        crossing = (bound - line[:, 1]) / line[:, 0]
        self.ends[end] -= step
        self.knots[self.rows, self.ends[end]] = crossing
        flat = np.array([0.0, bound])
        self.jumps[self.rows, self.ends[end]] = sign * (line - flat)
        self.outer[end] = flat
        return np.asarray(crossing)

    def _with_knots(self, waiting: Codes, at: Codes) -> tuple[Codes, Codes]:
        left = self.ends[0][waiting] <= self.ends[1][waiting]
        return waiting[left], at[left]
