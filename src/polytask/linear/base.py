"""Estimators with linear models: they say one thing, their ``regulariser()``; centring and solving are here."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from polytask.errors import ConfigError
from polytask.linear.arrays import Array, is_sparse
from polytask.linear.fista import Solution
from polytask.linear.forms import Rows
from polytask.linear.placing import Placed
from polytask.linear.problem import Problem, Regulariser, build_problem, solve
from polytask.linear.regularisation_path import Path, strength_path
from polytask.linear.shells import TaskClassifier, TaskModel, TaskRegressor


class LinearTasks(TaskModel):
    """One linear model per task, ``w_t`` and an unpenalised intercept, fitted together.

    Every estimator has these options besides its strengths:

    :param fit_intercept: whether tasks have an intercept; it is never penalised.
    :param loss_scaling: ``"sum"`` over the rows of all tasks (large tasks weigh more) or ``"mean"``: the loss of every
        task is divided by its number of rows (its weight). With one X of n rows, a strength for ``"mean"`` is the one
        for ``"sum"`` divided by n. The squared loss has a factor 1/2: papers without it have twice our strengths.
    :param unseen: what ``predict`` does with a task it was not fitted on: ``"error"``, or ``"warn"`` and use the shared
        part, which is the mean of the tasks unless the method has a better one.
    :param tol: the fit stops when the optimality residual, the norm of a subgradient of the objective over the norm of
        the gradient at zero weights, is at most this.
    :param max_iter: the most iterations; not reaching ``tol`` is a ``ConvergenceWarning``.

    Fitted: ``coef_`` (T, d), ``intercept_`` (T,), ``tasks_`` (T,) the sorted labels, ``shared_coef_`` (d,),
    ``shared_intercept_``, ``n_iter_``, ``residual_``, ``objective_``.
    """

    strengths: ClassVar[tuple[str, ...]] = ("strength",)
    """The constructor arguments that a path multiplies, all by one factor."""
    logistic: ClassVar[bool] = False

    fit_intercept: bool
    loss_scaling: str
    tol: float
    max_iter: int

    @abstractmethod
    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The penalties and the coupling for these tasks."""

    def problem(self, rows: Rows) -> Problem:
        """The smooth part of the objective."""
        self._check_options()
        return build_problem(rows, intercept=self.fit_intercept, scaling=self.loss_scaling, logistic=self.logistic)

    def lambda_max(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> float:
        """The factor on all strengths from which on every weight is zero; infinite for penalties without a kink."""
        rows = self.read(X, y, tasks, sample_weight)
        slope = self.problem(rows).slope
        blocks = self.regulariser(rows.labels, slope.shape[1]).blocks
        return max((block.critical(slope) for block in blocks), default=float("inf"))

    def path(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None, **grid: Any) -> Path:
        """Solutions along the strength, each started from the one before; ``grid`` as in ``strength_path``."""
        return strength_path(self, X, y, tasks, sample_weight, **grid)

    def _fit(self, rows: Rows) -> None:
        problem = self.problem(rows)
        regulariser = self.regulariser(rows.labels, rows.X.shape[1])
        self._keep(rows, problem, solve(problem, regulariser, tol=self.tol, max_iter=self.max_iter))

    def _keep(self, rows: Rows, problem: Problem, found: Solution) -> None:
        self.tasks_ = rows.labels
        self.form_ = rows.form
        self.coef_, self.intercept_ = problem.coefficients(found.weights)
        self.blocks_ = found.blocks[:, :, : rows.X.shape[1]]
        self.n_iter_, self.residual_, self.objective_ = max(found.iterations, 1), found.residual, found.objective
        self.shared_coef_, self.shared_intercept_ = self.coef_.mean(axis=0), float(self.intercept_.mean())

    def _values(self, X: Any, placed: Placed) -> Array:
        if placed.codes is None:
            return np.asarray(X @ self.coef_.T + self.intercept_)
        if len(self.tasks_) == 1 and not placed.codes.any():
            return np.asarray(X @ self.coef_[0] + self.intercept_[0])
        known = np.vstack([self.coef_, self.shared_coef_])  # the last row answers unseen tasks, whose code is T
        levels = np.append(self.intercept_, self.shared_intercept_)
        chosen = known[placed.codes]
        products = X.multiply(chosen).sum(axis=1) if is_sparse(X) else (X * chosen).sum(axis=1)
        return np.asarray(np.asarray(products).ravel() + levels[placed.codes])

    def _check_options(self) -> None:
        for name in self.strengths:
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or not np.isfinite(float(value)) or float(value) < 0:
                raise ConfigError(f"expected a finite number of at least 0, found {value!r}.", where=name)
        for name, allowed in (("loss_scaling", ("sum", "mean")), ("unseen", ("error", "warn"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"expected one of {allowed}, found {getattr(self, name)!r}.", where=name)
        if not self.tol >= 0 or self.max_iter < 1:
            raise ConfigError(f"expected tol >= 0 and max_iter >= 1, found {self.tol!r} and {self.max_iter!r}.")


class MultiTaskRegressor(TaskRegressor, LinearTasks):
    """Squared loss: ``1/2 sum_i (y_i - x_i w_t(i) - c_t(i))^2`` plus the regulariser."""


class MultiTaskClassifier(TaskClassifier, LinearTasks):
    """Logistic loss of binary tasks: ``sum_i log(1 + exp(-y_i (x_i w_t(i) + c_t(i))))`` plus the regulariser.

    The default ``loss_scaling`` is ``"mean"``, the convention of MALSAR and RMTL.
    """

    logistic: ClassVar[bool] = True

    def allows_one_class(self) -> bool:
        """Without an intercept such a task has an optimum."""
        return not self.fit_intercept
