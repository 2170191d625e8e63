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
from polytask.linear.smooth import Point, SquaredLoss

SMALL = 64
"""With so few features there is nothing to gain from leaving some out."""

PATIENCE = 100
"""Proximal gradient steps before Newton's method is tried again; doubled every time."""


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
    point = loss.at(W)
    while True:
        lengths = column_norms(W)
        slack = smallest_subgradient(point.grad, W, lengths, penalty.strength)
        residual = norm(slack)
        if residual <= tol * scale or iterations >= max_iter:
            break
        members = _grow(members, lengths > 0, column_norms(slack))
        chosen = np.flatnonzero(members)
        part = memory.take(loss, chosen)
        goal = 0.5 * tol if members.all() else max(0.5 * tol, 0.03 * residual / scale)
        here = Point(W[:, chosen], point.grad[:, chosen], point.product[:, chosen])  # nothing is outside
        left = max_iter - iterations
        found = _solve_part(part, penalty, here, tol=goal, max_iter=left, scale=scale, memory=memory)
        iterations += max(found.iterations, 1)
        W[:, chosen] = found.weights
        point = loss.through(part, chosen, W)
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
    start: Point,
    *,
    tol: float,
    max_iter: int,
    scale: float,
    memory: Memory,
) -> Solution:
    """Coordinate descent where it suits, then Newton's method, in turn with proximal gradients if it gets stuck."""
    if suits_descent(part):
        start = part.at(descend_coordinates(part, penalty.strength, start.W, tol=tol))
    iterations, patience = 0, PATIENCE
    while True:
        left = max_iter - iterations
        found = newton_groups(part, penalty.strength, start, tol=tol, max_iter=left, scale=scale, memory=memory)
        iterations += found.iterations
        if found.residual > tol and iterations < max_iter:
            left = min(patience, max_iter - iterations)
            found = fista(part, [penalty], found.blocks, tol=tol, max_iter=left, scale=scale)
            iterations += found.iterations
        if found.residual <= tol or iterations >= max_iter:
            return Solution(found.blocks, found.residual, iterations)
        start, patience = part.at(found.weights), 2 * patience


def _grow(members: NDArray[np.bool_], used: NDArray[np.bool_], violation: Array) -> NDArray[np.bool_]:
    """Former members and the worst violators, twice as many as are in use; all features if that is most of them."""
    room = max(SMALL, 2 * int(used.sum()))
    grown: NDArray[np.bool_] = members | used
    candidates = np.flatnonzero((violation > 0) & ~grown)
    grown[candidates[np.argsort(-violation[candidates], kind="stable")[:room]]] = True
    return grown if grown.sum() < 0.75 * len(grown) else np.ones_like(grown)
