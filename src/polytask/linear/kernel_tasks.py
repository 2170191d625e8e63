"""Kernel methods with a covariance between tasks (Evgeniou, Micchelli and Pontil, JMLR 2005)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.svm import SVC

from polytask.errors import ConfigError
from polytask.linear.arrays import Array
from polytask.linear.forms import Rows
from polytask.linear.placing import Placed
from polytask.linear.rows_of_tasks import stacked
from polytask.linear.shells import TaskClassifier, TaskRegressor
from polytask.linear.task_kernel import task_kernel


class KernelTasks(TaskRegressor):
    """Multi-task kernel ridge regression: ``K((x, s), (x', t)) = B_st k(x, x')``.

    ``1/2 sum_i weight_i (y_i - f(x_i, t_i) - c_t)^2 + strength/2 ||f||_K^2``, with an intercept ``c_t`` per task
    that is not penalised. Takes O(N^2) memory and O(N^3) time. With the linear kernel and ``task_kernel="mean"`` it is
    ``MeanRegularized(ridge=strength mu / (2 (T + mu)), strength=strength T / (2 (T + mu)))``.

    :param strength: of the norm.
    :param kernel: of rows: ``linear``, ``rbf``, ``poly``, ``laplacian``, ``cosine`` or ``sigmoid``.
    :param gamma: of the kernel; None is 1 / d.
    :param task_kernel: ``"mean"``: ``B = 1/mu + identity``, a shared function plus one per task; or a positive
        semidefinite ``B`` (T, T) in the order of the sorted labels.
    :param mu: how hard the shared function is held; small is one model for all.
    :param fit_intercept: whether tasks have an intercept.
    :param unseen: as for the linear estimators; only ``"mean"`` has a shared part.

    Fitted: ``dual_coef_`` (N,), ``intercept_`` (T,), ``tasks_`` (T,), ``X_fit_`` and ``codes_fit_``, the rows.

    Evgeniou, Micchelli and Pontil. Learning multiple tasks with kernel methods. JMLR 2005.
    """

    def __init__(
        self,
        strength: float = 1.0,
        kernel: str = "rbf",
        gamma: float | None = None,
        task_kernel: Any = "mean",
        mu: float = 1.0,
        *,
        fit_intercept: bool = True,
        unseen: str = "error",
    ) -> None:
        self.strength = strength
        self.kernel = kernel
        self.gamma = gamma
        self.task_kernel = task_kernel
        self.mu = mu
        self.fit_intercept = fit_intercept
        self.unseen = unseen

    def _fit(self, rows: Rows) -> None:
        _check_positive(self.strength, "strength")
        data = stacked(rows)
        codes = np.asarray(data.codes)
        self.kernel_ = task_kernel(self.kernel, self.gamma, self.task_kernel, self.mu, data.tasks)
        K = self.kernel_(data.X, codes, data.X, codes)
        K[np.diag_indices_from(K)] += self.strength / data.weight
        factor = cho_factor(K, lower=True, overwrite_a=True)
        levels = np.zeros(data.tasks)
        if self.fit_intercept:  # generalised least squares: levels = (Z' K^-1 Z)^-1 Z' K^-1 y
            Z = (codes[:, None] == np.arange(data.tasks)).astype(float)
            solved = cho_solve(factor, Z)
            levels = np.linalg.solve(Z.T @ solved, solved.T @ data.y)
        self.dual_coef_ = cho_solve(factor, data.y - levels[codes])
        self.intercept_ = levels
        self.X_fit_, self.codes_fit_ = data.X, codes
        self.tasks_, self.form_ = rows.labels, rows.form

    def _values(self, X: Any, placed: Placed) -> Array:
        levels = np.append(self.intercept_, self.intercept_.mean())
        if placed.codes is not None:
            return np.asarray(
                self.kernel_(X, placed.codes, self.X_fit_, self.codes_fit_) @ self.dual_coef_ + levels[placed.codes]
            )
        return self.kernel_.functions(X, self.X_fit_, self.codes_fit_, self.dual_coef_) + self.intercept_


class KernelTasksClassifier(TaskClassifier):
    """Multi-task support vector machine: scikit-learn's ``SVC`` on the kernel of ``KernelTasks``.

    Tasks share one offset; ``predict_proba`` is the logistic function of the margin and is not calibrated.

    :param C: weight of the hinge losses against ``1/2 ||f||_K^2``.
    :param kernel: of rows.
    :param gamma: of the kernel; None is 1 / d.
    :param task_kernel: ``"mean"`` or a positive semidefinite ``B`` (T, T).
    :param mu: how hard the shared function is held; small is one model for all.
    :param unseen: as for the linear estimators.

    Evgeniou and Pontil. Regularized multi-task learning. KDD 2004.
    """

    def __init__(
        self,
        C: float = 1.0,
        kernel: str = "rbf",
        gamma: float | None = None,
        task_kernel: Any = "mean",
        mu: float = 1.0,
        *,
        unseen: str = "error",
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.task_kernel = task_kernel
        self.mu = mu
        self.unseen = unseen

    def _fit(self, rows: Rows) -> None:
        _check_positive(self.C, "C")
        data = stacked(rows)
        codes = np.asarray(data.codes)
        self.kernel_ = task_kernel(self.kernel, self.gamma, self.task_kernel, self.mu, data.tasks)
        machine = SVC(C=self.C, kernel="precomputed", tol=1e-5)
        machine.fit(self.kernel_(data.X, codes, data.X, codes), data.y, sample_weight=data.weight)
        support = machine.support_
        self.dual_coef_, self.intercept_ = machine.dual_coef_[0], float(machine.intercept_[0])
        self.X_fit_, self.codes_fit_ = data.X[support], codes[support]
        self.tasks_, self.form_ = rows.labels, rows.form

    def _values(self, X: Any, placed: Placed) -> Array:
        if placed.codes is not None:
            return np.asarray(
                self.kernel_(X, placed.codes, self.X_fit_, self.codes_fit_) @ self.dual_coef_ + self.intercept_
            )
        return self.kernel_.functions(X, self.X_fit_, self.codes_fit_, self.dual_coef_) + self.intercept_


def _check_positive(value: float, where: str) -> None:
    if not (isinstance(value, int | float | np.floating) and np.isfinite(value) and value > 0):
        raise ConfigError(f"expected a positive finite number, found {value!r}.", where=where)
