"""What all estimators of the room are: scikit-learn estimators whose ``fit`` and ``predict`` take the task of each row.

Reading, predicting in the form of the input, and scoring are here. scikit-learn's conventions rule: constructor
arguments are public attributes, what is learned ends in ``_``.
"""

from __future__ import annotations

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

from polytask.errors import DataError
from polytask.linear.arrays import Array
from polytask.linear.forms import Rows, check_labels, is_lists, read_features, read_rows, read_tasks
from polytask.linear.placing import Placed, place


class TaskModel(BaseEstimator, ABC):
    """An estimator of several tasks; ``tasks`` is requested by metadata routing without further ado."""

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"tasks": True}

    unseen: str
    tasks_: NDArray[Any]
    form_: str

    @abstractmethod
    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> TaskModel:
        """Fit all tasks."""

    @abstractmethod
    def read(self, X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
        """Check what ``fit`` was given, with labels as numbers."""

    @abstractmethod
    def _fit(self, rows: Rows) -> None:
        """Learn from checked rows."""

    @abstractmethod
    def _values(self, X: Any, placed: Placed) -> Array:
        """The predictions, or log odds, of checked rows: (N,), or (n, T) where no tasks were asked for."""

    def _placed_values(self, X: Any, tasks: Any) -> tuple[Array, Placed]:
        check_is_fitted(self)
        placed = place(X, tasks, self.tasks_, form=self.form_, unseen=self.unseen)
        return self._values(read_features(self, placed.X, placed.names), placed), placed

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class TaskRegressor(RegressorMixin, TaskModel):
    """A regression per task."""

    def read(self, X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
        """Check what ``fit`` was given."""
        return read_rows(self, X, y, tasks, sample_weight)

    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> TaskRegressor:
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
        values, placed = self._placed_values(X, tasks)
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


class TaskClassifier(ClassifierMixin, TaskModel):
    """A binary classification per task; all tasks have the same two classes."""

    __metadata_request__predict_proba: ClassVar[dict[str, bool]] = {"tasks": True}
    __metadata_request__decision_function: ClassVar[dict[str, bool]] = {"tasks": True}

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
        if len(classes) < 2 and (not self.allows_one_class() or not len(classes)):
            raise DataError(f"two classes are needed, but y has only one class: {classes.tolist()}.")
        signs = np.full(labels.shape, np.nan)
        signs[~_missing(labels) if labels.ndim == 2 else slice(None)] = np.where(
            positions.reshape(known.shape) == len(classes) - 1, 1.0, -1.0
        )
        self.classes_ = classes
        given: Any = np.split(signs, np.cumsum([len(v) for v in y])[:-1]) if lists else signs
        rows = read_rows(self, X, given, tasks, sample_weight)
        if not self.allows_one_class():
            _check_both_classes(rows)
        return rows

    def allows_one_class(self) -> bool:
        """Whether a task may have labels of one class only."""
        return False

    def fit(self, X: Any, y: Any, tasks: Any = None, sample_weight: Any = None) -> TaskClassifier:
        """Fit all tasks; the arguments are those of the regressors.

        :raises ValueError: what is wrong, with the task. A task with one class has no best intercept and is refused,
            unless ``fit_intercept=False``.
        """
        self._fit(self.read(X, y, tasks, sample_weight))
        return self

    def decision_function(self, X: Any, tasks: Any = None) -> Any:
        """Log odds of the second class, in the form of ``fit``."""
        values, placed = self._placed_values(X, tasks)
        return placed.give(values)

    def predict(self, X: Any, tasks: Any = None) -> Any:
        """Classes, in the form of ``fit``."""
        values, placed = self._placed_values(X, tasks)
        return placed.give(self.classes_[np.where(values > 0, len(self.classes_) - 1, 0)])

    def predict_proba(self, X: Any, tasks: Any = None) -> Any:
        """Probabilities (N, 2) of the two classes; a list of these per task for one X, or for lists."""
        values, placed = self._placed_values(X, tasks)
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
