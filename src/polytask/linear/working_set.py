"""Joint feature selection by working sets: most features are zero, so solve for the few that matter.

The full gradient tells which features violate the optimality conditions; they join the set, the problem of the set is
solved with warm starts, until nothing outside violates. A set has a small Gram matrix even when d is large.
"""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

from polytask.linear.arrays import Array, Codes, is_sparse, norm
from polytask.linear.design import SharedDesign
from polytask.linear.fista import Solution, fista
from polytask.linear.penalties import FeatureGroups
from polytask.linear.smooth import SquaredLoss

SMALL = 64
"""With so few features there is nothing to gain from leaving some out."""


def solve_feature_groups(
    loss: SquaredLoss, penalty: FeatureGroups, start: Array, *, tol: float, max_iter: int, scale: float
) -> Solution:
    """Minimise ``loss + strength sum_j ||W_:j||``; the residual is the full subgradient of smallest norm."""
    W, iterations, members = start.copy(), 0, np.zeros(loss.shape[1], dtype=bool)
    if len(members) <= SMALL:
        members[:] = True
    if suits_descent(loss):
        W = descend_coordinates(loss, penalty.strength, W, tol=tol)
    residual = np.inf
    previous: tuple[Codes, SquaredLoss] | None = None
    while True:
        point = loss.at(W)
        slack = smallest_subgradient(point.grad, W, penalty.strength)
        residual = norm(slack)
        if residual <= tol * scale or iterations >= max_iter:
            break
        violation = np.sqrt(np.square(slack).sum(axis=0))
        members = _grow(members, W, violation)
        chosen = np.flatnonzero(members)
        if previous is not None and np.array_equal(previous[0], chosen):
            part = previous[1]
        else:
            part = loss if members.all() else loss.columns(chosen)
            previous = (chosen, part)
        goal = 0.5 * tol if members.all() else max(0.5 * tol, 0.03 * residual / scale)
        found = fista(part, [penalty], W[None][:, :, chosen], tol=goal, max_iter=max_iter - iterations, scale=scale)
        iterations += max(found.iterations, 1)
        W[:, chosen] = found.weights
    objective = loss.value(point) + penalty.value(W)
    return Solution(W[None], residual / scale if scale > 0 else 0.0, iterations, objective)


def suits_descent(loss: SquaredLoss) -> bool:
    """One dense X for all tasks, and a Gram matrix that would cost more than sweeps over the features."""
    design = loss.design
    shared = isinstance(design, SharedDesign) and design.grams == 1 and not is_sparse(design.X)
    costly = 2 * design.rows < design.features or design.features > 16 * design.tasks
    return bool(shared and costly and loss.products.gram is None and np.all(loss.weight == loss.weight[0]))


def descend_coordinates(loss: SquaredLoss, strength: float, start: Array, *, tol: float) -> Array:
    """A start near the optimum from scikit-learn's ``MultiTaskLasso``, whose loss is divided by the number of rows."""
    design, weight = cast(SharedDesign, loss.design), float(loss.weight[0, 0])
    X = np.asfortranarray(design.X - design.means if design.means.any() else design.X)
    alpha = strength / (weight * len(X))
    model = MultiTaskLasso(alpha, fit_intercept=False, warm_start=True, tol=tol, copy_X=False)
    model.coef_ = start.copy(order="F")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the working sets go on from here
        model.fit(X, loss.labels)
    return np.array(model.coef_)


def smallest_subgradient(grad: Array, W: Array, strength: float) -> Array:
    """The element of smallest norm in the subdifferential, feature by feature."""
    lengths = np.sqrt(np.square(W).sum(axis=0))
    slopes = np.sqrt(np.square(grad).sum(axis=0))
    inactive = grad * np.maximum(1 - strength / np.maximum(slopes, np.finfo(float).tiny), 0.0)
    active = grad + strength * W / np.where(lengths > 0, lengths, 1.0)
    return np.where(lengths > 0, active, inactive)


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
