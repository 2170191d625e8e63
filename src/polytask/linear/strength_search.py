"""The strengths by cross-validation inside the tasks, for any linear estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from polytask.errors import ConfigError, DataError
from polytask.linear.arrays import Array, is_sparse
from polytask.linear.base import LinearTasks
from polytask.linear.forms import Rows
from polytask.linear.group_newton import Memory
from polytask.linear.joint_feature import JointFeature
from polytask.linear.problem import build_problem, solve
from polytask.linear.regularisation_path import default_factors, scaled
from polytask.linear.task_splits import TaskKFold


class StrengthCV(MetaEstimatorMixin, BaseEstimator):
    """An estimator with the strengths that predict best on held-out rows of every task, refitted on all rows.

    One call covers ``JointFeatureCV``, ``TraceNormCV`` and so on: ``StrengthCV(TraceNorm())``. The error is the squared
    error, or the logistic loss, of all held-out rows; in each fold the grid is gone through with warm starts.

    :param estimator: any estimator of this room with a regulariser.
    :param grid: factors on all strengths together; or values per argument, ``{"shared": [...], "own": [...]}``, all
        combinations; None is 20 factors from the one that makes all weights zero down to ``ratio`` times it.
    :param folds: their number, or a splitter with ``split(X, y, tasks=...)``.
    :param ratio: smallest over largest factor of the default grid.
    :param n_jobs: processes over folds, as in joblib.

    Fitted: ``best_estimator_``, ``best_params_``, ``errors_`` (candidates, folds), ``candidates_``; ``coef_``,
    ``intercept_`` and ``tasks_`` are those of the best estimator.
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__predict_proba: ClassVar[dict[str, bool]] = {"tasks": True}

    def __init__(
        self, estimator: Any = None, grid: Any = None, *, folds: Any = 5, ratio: float = 1e-3, n_jobs: int | None = None
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.folds = folds
        self.ratio = ratio
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> StrengthCV:
        """Search, then fit on all rows; the arguments are those of the estimator."""
        model = clone(self.estimator if self.estimator is not None else JointFeature())
        rows = model.read(X, y, tasks, sample_weight)
        if rows.X.shape[0] < 2:
            raise DataError("cross-validation needs at least two rows, found n_samples = 1.")
        self.candidates_ = self._candidates(model, rows)
        fitted = [clone(model).set_params(**candidate) for candidate in self.candidates_]
        splitter = TaskKFold(self.folds) if isinstance(self.folds, int) else self.folds
        names = None if rows.codes is None else rows.labels[rows.codes]
        splits = splitter.split(rows.X, rows.y, tasks=names)
        errors = Parallel(n_jobs=self.n_jobs)(delayed(_fold_errors)(fitted, rows, *split) for split in splits)
        self.errors_ = np.array(errors).T
        self.best_params_ = self.candidates_[int(np.argmin(self.errors_.sum(axis=1)))]
        self.best_estimator_ = clone(model).set_params(**self.best_params_)
        self.best_estimator_.fit(X, y, tasks=tasks, sample_weight=sample_weight)
        for name in ("coef_", "intercept_", "tasks_", "n_features_in_"):
            setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def predict(self, X: Any, tasks: Any = None) -> Any:
        """Predictions of the best estimator."""
        check_is_fitted(self)
        return self.best_estimator_.predict(X, tasks=tasks)

    @available_if(lambda self: self.estimator is not None and self.estimator.logistic)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, tasks: Any = None) -> Any:
        """Probabilities of the best estimator."""
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X, tasks=tasks)

    def score(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> float:
        """The score of the best estimator."""
        check_is_fitted(self)
        return float(self.best_estimator_.score(X, y, tasks=tasks, sample_weight=sample_weight))

    def _candidates(self, model: LinearTasks, rows: Rows) -> list[dict[str, float]]:
        grid: Mapping[str, Sequence[float]] | Sequence[float] | Array | None = self.grid
        if isinstance(grid, Mapping):
            unknown = set(grid) - set(model.get_params())
            if unknown or not grid:
                raise ConfigError(f"{type(model).__name__} has no argument {sorted(unknown)}.", where="grid")
            return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        if grid is None:
            slope = model.problem(rows).slope
            grid = default_factors(model, slope, rows.labels, steps=20, ratio=self.ratio)
        factors = -np.sort(-np.asarray(grid, dtype=float))
        return [{name: getattr(scaled(model, float(f)), name) for name in model.strengths} for f in factors]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator if self.estimator is not None else JointFeature())
        tags.estimator_type, tags.target_tags = inner.estimator_type, inner.target_tags
        tags.regressor_tags, tags.classifier_tags = inner.regressor_tags, inner.classifier_tags
        tags.input_tags = inner.input_tags
        return tags


def _fold_errors(models: list[LinearTasks], rows: Rows, train: NDArray[np.intp], test: NDArray[np.intp]) -> list[float]:
    """The summed loss of every model on the test rows; the training rows are prepared once."""
    part, held = take(rows, train), take(rows, test)
    first = models[0]
    problem = build_problem(part, intercept=first.fit_intercept, scaling=first.loss_scaling, logistic=first.logistic)
    out, start, memory = [], None, Memory()
    for model in models:
        regulariser = model.regulariser(rows.labels, rows.X.shape[1])
        if start is not None and len(start) != max(len(regulariser.blocks), 1):
            start = None
        found = solve(problem, regulariser, tol=model.tol, max_iter=model.max_iter, start=start, memory=memory)
        start = found.blocks
        coef, intercept = problem.coefficients(found.weights)
        out.append(held_out_loss(held, coef, intercept, logistic=model.logistic))
    return out


def take(rows: Rows, chosen: NDArray[np.intp]) -> Rows:
    """Some of the rows, with all tasks kept."""
    codes = None if rows.codes is None else rows.codes[chosen]
    return Rows(rows.X[chosen], rows.y[chosen], rows.weight[chosen], codes, rows.labels, rows.form)


def held_out_loss(rows: Rows, coef: Array, intercept: Array, *, logistic: bool) -> float:
    """The weighted sum of squared errors or logistic losses."""
    if rows.codes is None:
        values = np.asarray(rows.X @ coef.T) + intercept
    else:
        own = coef[rows.codes]
        products = rows.X.multiply(own).sum(axis=1) if is_sparse(rows.X) else (rows.X * own).sum(axis=1)
        values = np.asarray(products).ravel() + intercept[rows.codes]
    losses = np.logaddexp(0.0, -rows.y * values) if logistic else np.square(rows.y - values)
    return float((rows.weight * losses).sum())
