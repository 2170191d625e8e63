"""Block coordinate descent for the l2,1 norm with one X, by scikit-learn's ``MultiTaskLasso``."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

from polytask.linear.arrays import Array, is_sparse
from polytask.linear.design import SharedDesign
from polytask.linear.smooth import SquaredLoss


def suits_descent(loss: SquaredLoss) -> bool:
    """One dense X for all tasks, and more features than a Gram matrix would pay for."""
    design = loss.design
    shared = isinstance(design, SharedDesign) and design.grams == 1 and not is_sparse(design.X)
    many = design.features > max(64, design.rows / 2)
    return bool(shared and many and np.all(loss.weight == loss.weight[0]))


def descend_coordinates(loss: SquaredLoss, strength: float, start: Array, *, tol: float) -> Array:
    """A start near the optimum; scikit-learn divides the loss by the number of rows, and its ``tol`` is a gap."""
    design, weight = cast(SharedDesign, loss.design), float(loss.weight[0, 0])
    X = np.asfortranarray(design.X - design.means if design.means.any() else design.X)
    alpha = strength / (weight * len(X))
    model = MultiTaskLasso(alpha, fit_intercept=False, warm_start=True, tol=tol, copy_X=False)
    model.coef_ = start.copy(order="F")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the working sets go on from here
        model.fit(X, loss.labels)
    return np.array(model.coef_)
