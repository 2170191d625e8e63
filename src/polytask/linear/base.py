"""What all linear estimators are: scikit-learn estimators whose ``fit`` and ``predict`` take the task of each row.

An estimator says one thing, its ``regulariser()``; reading, centring, solving and predicting are here. scikit-learn's
conventions rule: constructor arguments are public attributes, what is learned ends in ``_``.
"""

from __future__ import annotations

import numbers
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from polytask.errors import ConfigError, DataError
from polytask.linear.arrays import Array, is_sparse
from polytask.linear.fista import Solution
from polytask.linear.forms import Rows, check_labels, is_lists, read_features, read_rows, read_tasks
from polytask.linear.placing import Placed, place
from polytask.linear.problem import Problem, Regulariser, build_problem, solve
from polytask.linear.regularisation_path import Path, strength_path


class LinearTasks(BaseEstimator, ABC):
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

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"tasks": True}

    strengths: ClassVar[tuple[str, ...]] = ("strength",)
    """The constructor arguments that a path multiplies, all by one factor."""
    logistic: ClassVar[bool] = False

    fit_intercept: bool
    loss_scaling: str
    unseen: str
    tol: float
    max_iter: int

    @abstractmethod
    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The penalties and the coupling for these tasks."""

    @abstractmethod
    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> LinearTasks:
        """Fit all tasks."""

    @abstractmethod
    def read(self, X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
        """Check what ``fit`` was given, with labels as numbers."""

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

    def _linear(self, X: Any, tasks: Any) -> tuple[Array, Placed]:
        """The linear predictions of every row, and how the user wants them back."""
        check_is_fitted(self)
        placed = place(X, tasks, self.tasks_, form=self.form_, unseen=self.unseen)
        table = read_features(self, placed.X, placed.names)
        if placed.codes is None:
            return np.asarray(table @ self.coef_.T) + self.intercept_, placed
        known = np.vstack([self.coef_, self.shared_coef_])  # the last row answers unseen tasks, whose code is T
        levels = np.append(self.intercept_, self.shared_intercept_)
        if len(self.tasks_) == 1 and not placed.codes.any():
            return np.asarray(table @ self.coef_[0]) + self.intercept_[0], placed
        chosen = known[placed.codes]
        products = table.multiply(chosen).sum(axis=1) if is_sparse(table) else (table * chosen).sum(axis=1)
        return np.asarray(products).ravel() + levels[placed.codes], placed

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MultiTaskRegressor(RegressorMixin, LinearTasks):
    """Squared loss: ``1/2 sum_i (y_i - x_i w_t(i) - c_t(i))^2`` plus the regulariser."""

    def read(self, X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
        """Check what ``fit`` was given."""
        return read_rows(self, X, y, tasks, sample_weight)

    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> MultiTaskRegressor:
        """Fit all tasks.

        :param X: (N, d) rows of all tasks, or a list with an array (n_t, d) per task. Dense or sparse.
        :param y: (N,); or (n, T) with NaN for missing labels, one column per task; or a list.
        :param tasks: (N,) labels of the tasks of the rows; for lists, a label per array (optional).
        :param sample_weight: (N,) or a list.
        :raises ValueError: what is wrong, with the task.
        """
        self._fit(self.read(X, y, tasks, sample_weight))
        return self

    def predict(self, X: Any, tasks: Any = None) -> Any:
        """Predictions in the form of ``fit``: (N,) for rows with tasks, (n, T) for one X, a list for lists."""
        values, placed = self._linear(X, tasks)
        return placed.give(values)

    def score(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> float:
        """R^2 of all rows together; with a 2-D ``y``, the mean of the columns over their known labels."""
        answer = self.predict(X, tasks=tasks)
        if isinstance(answer, list):
            return float(r2_score(np.concatenate(y), np.concatenate(answer)))
        if np.ndim(answer) == 1:
            return float(r2_score(y, answer, sample_weight=sample_weight))
        truth = np.asarray(y, dtype=float)
        known = ~np.isnan(truth)
        weights = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight)
        columns = [
            r2_score(truth[k, t], answer[k, t], sample_weight=weights[k])
            for t, k in enumerate(known.T)
        ]  # fmt: skip
        return float(np.mean(columns))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MultiTaskClassifier(ClassifierMixin, LinearTasks):
    """Logistic loss of binary tasks: ``sum_i log(1 + exp(-y_i (x_i w_t(i) + c_t(i))))`` plus the regulariser.

    All tasks have the same two classes. The default ``loss_scaling`` is ``"mean"``, the convention of MALSAR and RMTL.
    """

    logistic: ClassVar[bool] = True

    def read(self, X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
        """Check what ``fit`` was given; classes become -1 and 1."""
        if y is None:
            raise DataError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        lists = is_lists(X)
        labels = np.concatenate([np.asarray(v) for v in y]) if lists else np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] == 1 and not lists:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=3
            )
        if labels.ndim == 1 and labels.dtype.kind == "f" and not lists:
            check_labels(labels, *read_tasks(tasks, len(labels)))
        known = labels[~_missing(labels)] if labels.ndim == 2 else labels
        if labels.ndim <= 2:
            check_classification_targets(known.ravel())
        classes, positions = np.unique(known, return_inverse=True)
        if len(classes) > 2:
            kind = type_of_target(known.ravel())
            raise DataError(f"Only binary classification is supported. The type of the target is {kind}.")
        if len(classes) < 2 and (self.fit_intercept or not len(classes)):
            raise DataError(f"two classes are needed, but y has only one class: {classes.tolist()}.")
        signs = np.full(labels.shape, np.nan)
        signs[~_missing(labels) if labels.ndim == 2 else slice(None)] = np.where(
            positions.reshape(known.shape) == len(classes) - 1, 1.0, -1.0
        )
        self.classes_ = classes
        given: Any = np.split(signs, np.cumsum([len(v) for v in y])[:-1]) if lists else signs
        rows = read_rows(self, X, given, tasks, sample_weight)
        if self.fit_intercept:
            _check_both_classes(rows)
        return rows

    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> MultiTaskClassifier:
        """Fit all tasks; the arguments are those of the regressors.

        :raises ValueError: what is wrong, with the task. A task with one class has no best intercept and is refused,
            unless ``fit_intercept=False``.
        """
        self._fit(self.read(X, y, tasks, sample_weight))
        return self

    def decision_function(self, X: Any, tasks: Any = None) -> Any:
        """Log odds of the second class, in the form of ``fit``."""
        values, placed = self._linear(X, tasks)
        return placed.give(values)

    def predict(self, X: Any, tasks: Any = None) -> Any:
        """Classes, in the form of ``fit``."""
        values, placed = self._linear(X, tasks)
        return placed.give(self.classes_[np.where(values > 0, len(self.classes_) - 1, 0)])

    def predict_proba(self, X: Any, tasks: Any = None) -> Any:
        """Probabilities (N, 2) of the two classes; a list of these per task for one X, or for lists."""
        values, placed = self._linear(X, tasks)
        second = expit(values)
        both = np.stack([1 - second, second], axis=-1)
        if placed.codes is None:
            return list(both.transpose(1, 0, 2))
        return placed.give(both)

    def score(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> float:
        """The share of right answers over all known labels."""
        answer = self.predict(X, tasks=tasks)
        if isinstance(answer, list):
            answer, y = np.concatenate(answer), np.concatenate(y)
        truth = np.asarray(y)
        if answer.ndim == 1:
            return float(accuracy_score(truth, answer, sample_weight=sample_weight))
        known = ~_missing(truth)
        weights = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight)
        weights = np.where(known, weights[:, None], 0.0)
        return float((weights * (answer == truth)).sum() / weights.sum())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(labels) if labels.dtype.kind == "f" else np.zeros(labels.shape, dtype=bool))


def _check_both_classes(rows: Rows) -> None:
    total = rows.per_task(np.broadcast_to(rows.weight, rows.y.shape))
    ones = rows.per_task(rows.weight * (rows.y > 0))
    single = np.flatnonzero((ones <= 0) | (ones >= total))
    if len(single):
        raise DataError(
            "all labels are of one class, so no intercept is best.", where=f"task {rows.labels[single[0]].item()!r}",
            do="Leave the task out, or set fit_intercept=False.",
        )  # fmt: skip
