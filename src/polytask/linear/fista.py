"""Accelerated proximal gradient with restart on a sum of blocks ``W = W_1 + ... + W_B``, each with its penalty.

Beck and Teboulle (SIAM J. Imaging Sci. 2009) with the gradient restart of O'Donoghue and Candes (Found. Comput.
Math. 2015). The step is ``1 / (B L)``. The stopping rule is a subgradient of the objective at the new iterate, which
the step itself provides: ``grad(x) - grad(z) + B L (z - x)`` is in the subdifferential, for any penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polytask.linear.arrays import Array, inner, norm
from polytask.linear.penalties import Penalty
from polytask.linear.smooth import Smooth


@dataclass(frozen=True)
class Solution:
    """Where a solver ended.

    :param blocks: (B, T, d); the weights are their sum.
    :param residual: the norm of the smallest known subgradient over the norm of the gradient at zero.
    :param iterations: number of products with the design.
    """

    blocks: Array
    residual: float
    iterations: int
    objective: float = float("nan")

    @property
    def weights(self) -> Array:
        """The weights (T, d)."""
        return np.asarray(self.blocks.sum(axis=0))


def fista(
    smooth: Smooth, penalties: Sequence[Penalty], start: Array, *, tol: float, max_iter: int, scale: float
) -> Solution:
    """Minimise ``smooth(sum of blocks) + sum of penalties``.

    :param start: (B, T, d).
    :param tol: stop when the norm of the subgradient is at most ``tol * scale``.
    :param scale: the norm of the gradient at zero, which makes ``tol`` free of units.
    """
    number = len(penalties)
    bound = max(smooth.lipschitz * number, np.finfo(float).tiny)
    blocks = moved = start
    point = lookahead = smooth.at(start.sum(axis=0))
    momentum, residual, iteration = 1.0, np.inf, 0
    while iteration < max_iter:
        iteration += 1
        slope = lookahead.grad
        fresh = np.stack([p.prox(block - slope / bound, 1 / bound) for p, block in zip(penalties, moved, strict=True)])
        new = smooth.at(fresh.sum(axis=0))
        change = moved - fresh
        turn = new.grad - slope
        length = inner(change, change)
        if inner(new.W - lookahead.W, turn) > bound * length * (1 + 1e-9) and length > 0:
            bound *= 1.2  # the power iteration fell short
            continue
        residual = norm(turn + bound * change)
        if residual <= tol * scale:
            blocks, point = fresh, new
            break
        if inner(change, fresh - blocks) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        beta = (momentum - 1) / following
        momentum = following
        lookahead = smooth.between(new, point, beta)
        moved = fresh + beta * (fresh - blocks)
        blocks, point = fresh, new
    objective = smooth.value(point) + sum(p.value(block) for p, block in zip(penalties, blocks, strict=True))
    relative = residual / scale if scale > 0 else (0.0 if residual == 0 else np.inf)
    return Solution(blocks, float(relative), iteration, objective)
