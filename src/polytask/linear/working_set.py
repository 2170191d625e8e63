"""Joint feature selection by working sets: most features are zero, so solve for the few that matter.

The full gradient tells which features violate the optimality conditions; they join the set, the problem of the set is
solved with warm starts, until nothing outside violates. A set has a small Gram matrix even when d is large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array, column_norms, norm
from polytask.linear.coordinate_descent import descend_coordinates, suits_descent
from polytask.linear.fista import Solution, fista
from polytask.linear.group_newton import Memory, newton_groups, smallest_subgradient
from polytask.linear.penalties import FeatureGroups
from polytask.linear.smooth import SquaredLoss

SMALL = 64
"""With so few features there is nothing to gain from leaving some out."""


def solve_feature_groups(
    loss: SquaredLoss,
    penalty: FeatureGroups,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    scale: float,
    memory: Memory | None = None,
) -> Solution:
    """Minimise ``loss + strength sum_j ||W_:j||``; the residual is the full subgradient of smallest norm.

    :param memory: of the last strength on the same loss; it is kept up to date.
    """
    memory = memory or Memory()
    W, iterations = start.copy(), 0
    members = _first_members(memory, W)
    while True:
        point = loss.at(W)
        slack = smallest_subgradient(point.grad, W, column_norms(W), penalty.strength)
        residual = norm(slack)
        if residual <= tol * scale or iterations >= max_iter:
            break
        members = _grow(members, W, column_norms(slack))
        chosen = np.flatnonzero(members)
        part = memory.take(loss, chosen)
        goal = 0.5 * tol if members.all() else max(0.5 * tol, 0.03 * residual / scale)
        left = max_iter - iterations
        found = _solve_part(part, penalty, W[:, chosen], tol=goal, max_iter=left, scale=scale, memory=memory)
        iterations += max(found.iterations, 1)
        W[:, chosen] = found.weights
    objective = loss.value(point) + penalty.value(W)
    return Solution(W[None], residual / scale if scale > 0 else 0.0, iterations, objective)


def _first_members(memory: Memory, W: Array) -> NDArray[np.bool_]:
    """Those of the last strength; all, if they are few."""
    members = np.full(W.shape[1], W.shape[1] <= SMALL)
    members[memory.chosen] = True
    return members


def _solve_part(
    part: SquaredLoss,
    penalty: FeatureGroups,
    start: Array,
    *,
    tol: float,
    max_iter: int,
    scale: float,
    memory: Memory,
) -> Solution:
    """Coordinate descent where it suits, then Newton's method; proximal gradients where that gets stuck."""
    if suits_descent(part):
        start = descend_coordinates(part, penalty.strength, start, tol=tol)
    found = newton_groups(part, penalty.strength, start, tol=tol, max_iter=max_iter, scale=scale, memory=memory)
    if found.residual <= tol or found.iterations >= max_iter:
        return found
    slow = fista(part, [penalty], found.blocks, tol=tol, max_iter=max_iter - found.iterations, scale=scale)
    return Solution(slow.blocks, slow.residual, found.iterations + slow.iterations, slow.objective)


def _grow(members: NDArray[np.bool_], W: Array, violation: Array) -> NDArray[np.bool_]:
    """Non-zero features, former members that were tight, and the worst violators: as many as there are members."""
    active = np.any(W != 0, axis=0)
    room = max(32, int(active.sum()))
    outside = np.where(active, 0.0, violation)
    kept: NDArray[np.bool_] = members | active
    candidates = np.flatnonzero((outside > 0) & ~kept)
    best = candidates[np.argsort(-outside[candidates], kind="stable")[:room]]
    grown = kept.copy()
    grown[best] = True
    return grown
