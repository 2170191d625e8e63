"""The bargaining solution: every vector's own pull is worth as much as what it gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polytask.maths.gramian import Array

ROUNDS = 100
RIDGE = 1e-6
CANCELLED = 1e-3
CLOSE = 1e-3
"""Relative step below which Newton's method doubles its digits: a few more rounds give all that rounding allows."""


def bargain(cosines: Array, rho: Array, alpha: float = 1.0, precision: float = 0.0) -> Array:
    """The positive solution s of ``C s = rho (s / rho)^(-1/alpha)``.

    It is the minimiser of the convex function ``s'Cs / 2 - sum_t rho_t^2 f(s_t / rho_t)``, ``f'(y) = y^(-1/alpha)``,
    found by Newton's method, damped so that the function falls. ``rho`` is the solution if the vectors are orthogonal.

    If the vectors cancel (0 is in their convex hull) there is no solution: parts grow without end. As soon as the sum
    of the vectors is a thousandth of the sum of their lengths, the solution for ``C + ridge I`` is given instead: large
    parts that cancel.

    :param cosines: C ``(n, n)``, positive semidefinite, ones on the diagonal.
    :param rho: ``(n,)``, above 0.
    :param alpha: above 0 (and for precision about 20 at most); 1 is Nash's bargaining solution.
    :param precision: relative rounding error of the cosines; the ridge is 1e-6, but not smaller than n times this.
    """
    y, solved = _Game(cosines, rho, alpha).minimise(CANCELLED)
    if not solved:
        ridge = max(RIDGE, len(rho) * precision)
        y, _ = _Game(cosines + ridge * np.eye(len(rho)), rho, alpha).minimise(0.0)
    return y * rho


def bargain_residual(cosines: Array, rho: Array, alpha: float, s: Array) -> float:
    """``max_t |(C s)_t / rho_t * (s_t / rho_t)^(1/alpha) - 1|``: the relative error of the condition."""
    return float(np.abs(cosines @ s / rho * (s / rho) ** (1 / alpha) - 1).max())


@dataclass(frozen=True)
class _Game:
    """The convex function whose minimiser is the bargain, in ``y = s / rho``; steps are relative to y."""

    C: Array
    rho: Array
    alpha: float

    def objective(self, y: Array) -> float:
        s = self.rho * y
        power = 1 - 1 / self.alpha
        gains = np.log(y) if power == 0 else y**power / power
        return float(0.5 * s @ self.C @ s - (self.rho * self.rho) @ gains)

    def minimise(self, cancelled: float) -> tuple[Array, bool]:
        """y; and False if on the way the sum of the vectors fell below that part of the sum of their lengths."""
        rho = self.rho
        y = np.full(len(rho), max(float(rho @ self.C @ rho / (rho @ rho)), 1e-2) ** (-self.alpha / (1 + self.alpha)))
        best, smallest, rounds_left = y, np.inf, ROUNDS
        while rounds_left:
            gain = y ** (1 - 1 / self.alpha)
            s = rho * y
            pull = self.C @ s
            slope = y * pull - rho * gain
            error = float(np.abs(slope / (rho * gain)).max())
            if error < smallest:
                best, smallest = y, error
            if s @ pull < (cancelled * s.sum()) ** 2:
                return best, False
            if error < np.finfo(np.float64).eps:
                break
            step = np.linalg.solve(self.C * y * y[:, None] + np.diag(gain / self.alpha), -slope) / rho
            y = self._along(y, step, -float(slope @ (step * rho)))
            rounds_left = min(rounds_left - 1, 4) if np.abs(step).max() < CLOSE else rounds_left - 1
        return best, True

    def _along(self, y: Array, step: Array, fall: float) -> Array:
        """As much of the step as lets the objective fall, which ``fall`` promises to first order."""
        value = self.objective(y)
        rounding = 1e-12 * abs(value) + 1e-14 * float(self.rho @ y) ** 2  # vectors that cancel, cancel in the value
        t = min(1.0, 0.95 / max(-float(step.min()), np.finfo(np.float64).tiny))
        while t > 1e-10 and fall > rounding:
            moved = y * (1 + t * step)
            if self.objective(moved) <= value - 1e-4 * t * fall:
                break
            t /= 2
        return np.asarray(y * (1 + t * step))
