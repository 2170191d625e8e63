"""A read data set as an optimisation problem, and the solver for each kind of regulariser."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from polytask.linear.arrays import Array, column_inner, is_sparse, norm
from polytask.linear.closed_form import conjugate_gradients, solve_mean_coupled
from polytask.linear.coupling import Coupling
from polytask.linear.design import Design, SharedDesign, SparseDesign, StackedDesign
from polytask.linear.fista import Solution, fista
from polytask.linear.forms import Rows
from polytask.linear.group_newton import Memory
from polytask.linear.penalties import FeatureGroups, FreeIntercept, Nothing, Penalty
from polytask.linear.smooth import LogisticLoss, SquaredLoss
from polytask.linear.working_set import solve_feature_groups


@dataclass(frozen=True)
class Regulariser:
    """What is added to the loss: a quadratic coupling and penalties on one or two blocks that sum to the weights."""

    blocks: tuple[Penalty, ...] = ()
    coupling: Coupling = Coupling()  # noqa: RUF009  # frozen


@dataclass(frozen=True)
class Problem:
    """A loss of centred features, and how to undo the centring.

    :param means: centres of the features, (T, d) or (1, d).
    :param levels: centres of the labels (T,); zero for a logistic loss.
    """

    loss: SquaredLoss | LogisticLoss
    means: Array
    levels: Array

    @property
    def scale(self) -> float:
        """The norm of the gradient at zero weights: the unit of the residual."""
        return norm(self.slope)

    @property
    def slope(self) -> Array:
        """The gradient at zero weights and, for a logistic loss, the best intercepts; (T, d)."""
        if isinstance(self.loss, SquaredLoss):
            return -self.loss.b
        return self.loss.at(self.null).grad[:, :-1]

    @property
    def null(self) -> Array:
        """Zero weights with the best intercepts."""
        W = np.zeros(self.loss.shape)
        if isinstance(self.loss, LogisticLoss) and self.loss.intercept:
            weight = np.broadcast_to(self.loss.weight, self.loss.y.shape)
            ones = self.loss.design.sums(weight * (self.loss.y > 0))
            W[:, -1] = np.log(ones) - np.log(self.loss.design.sums(weight) - ones)
        return W

    def coefficients(self, W: Array) -> tuple[Array, Array]:
        """``coef_`` (T, d) and ``intercept_`` (T,) for features that are not centred."""
        if isinstance(self.loss, LogisticLoss):
            coef, levels = W[:, :-1], W[:, -1]
        else:
            coef, levels = W, self.levels
        return coef, levels - (self.means * coef).sum(axis=1)


def build_problem(rows: Rows, *, intercept: bool, scaling: str, logistic: bool) -> Problem:
    """Centre, scale and lay out.

    :param scaling: ``"sum"`` over the rows of all tasks, or ``"mean"``: every task's loss is divided by its weight.
    """
    weight = rows.normalised_weight(scaling)
    total = rows.per_task(weight)
    dense = not is_sparse(rows.X)
    means = np.zeros((rows.tasks, rows.X.shape[1]))
    if intercept and (rows.codes is None or not dense):
        means = rows.feature_sums(weight) / total[:, None]
    design: Design
    if rows.codes is None:
        same = weight.shape[1] == 1
        if same:
            means = means[:1]
        X, inside = near_zero(rows.X, means) if dense else (rows.X, means)
        design = SharedDesign(X, inside, rows.tasks)
    elif dense:
        stacked = StackedDesign.build(rows.X, rows.codes, rows.tasks)
        if intercept:
            means = stacked.adjoint(stacked.lay(weight)) / total[:, None]
            stacked = stacked.centred(means)
        design = stacked
    else:
        design = SparseDesign(rows.X, rows.codes, means)
    levels = np.zeros(rows.tasks)
    laid_weight = design.lay(weight)
    if logistic:
        return Problem(LogisticLoss(design, design.lay(rows.y), laid_weight, intercept=intercept), means, levels)
    if intercept:
        levels = rows.per_task(weight * rows.y) / total
    centred = rows.y - (levels[rows.codes] if rows.codes is not None else levels)
    return Problem(SquaredLoss.build(design, design.lay(centred), laid_weight), means, levels)


def near_zero(X: Array, means: Array) -> tuple[Array, Array]:
    """Rows and centres of the tasks, moved together if products would otherwise lose over two digits to the centres.

    They do where the squares of a centre add up to much more than the spread of the feature, for which some rows are a
    lower bound. Moving costs a copy of X.
    """
    middle = means.mean(axis=0)
    some = X[:: max(1, len(X) // 64)]
    spread = column_inner(some, some) - len(some) * some.mean(axis=0) ** 2
    if np.all(len(X) * middle**2 <= 100 * spread):
        return X, means
    return X - middle, means - middle


def solve(
    problem: Problem,
    regulariser: Regulariser,
    *,
    tol: float,
    max_iter: int,
    start: Array | None = None,
    memory: Memory | None = None,
) -> Solution:
    """The optimum by the solver that suits the regulariser; warns when ``tol`` is not reached.

    :param start: blocks (B, T, d) of an earlier solution.
    :param memory: what a solver kept of the last strength on the same problem.
    """
    loss = problem.loss.coupled(regulariser.coupling)
    penalties = regulariser.blocks or (Nothing(),)
    if start is None:
        start = np.zeros((len(penalties), *loss.shape))
        start[0] = problem.null
    scale = problem.scale
    found: Solution | None = None
    if isinstance(loss, LogisticLoss):
        free = [FreeIntercept(p, keep=i == 0) for i, p in enumerate(penalties)]
        found = fista(loss, free, start, tol=tol, max_iter=max_iter, scale=scale)
    elif not regulariser.blocks:
        found = solve_mean_coupled(loss, scale)
        if found is None or found.residual > tol:
            first = start.sum(axis=0) if found is None else found.weights
            found = conjugate_gradients(loss, first, tol=tol, max_iter=max_iter, scale=scale)
    elif len(penalties) == 1 and isinstance(penalties[0], FeatureGroups) and regulariser.coupling.is_zero:
        found = solve_feature_groups(
            loss, penalties[0], start[0], tol=tol, max_iter=max_iter, scale=scale, memory=memory
        )
    else:
        found = fista(loss, penalties, start, tol=tol, max_iter=max_iter, scale=scale)
    if not found.residual <= tol:
        warnings.warn(
            f"The solver stopped after {found.iterations} iterations with the optimality residual "
            f"{found.residual:.2e} (tol {tol:.2e}). Scale the features, or raise max_iter.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found
