"""The three ways to give several tasks, read into one: stacked rows, a 2-D ``y`` with NaN, and lists of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d, validate_data

from polytask.errors import DataError
from polytask.linear.arrays import Array, Codes, is_sparse


@dataclass(frozen=True)
class Rows:
    """Checked rows of T tasks.

    :param X: (N, d), dense float64 or CSR.
    :param y: (N,) with ``codes``, or (n, T) with one X for all.
    :param weight: (N,), or (n, T), zero where a label is missing, or (n, 1) where all tasks weigh alike.
    :param codes: the position in ``labels`` of the task of each row, or None for one X.
    :param labels: the names of the tasks (T,).
    :param form: how it was given: ``single``, ``stacked``, ``columns`` or ``lists``.
    """

    X: Any
    y: Array
    weight: Array
    codes: Codes | None
    labels: NDArray[Any]
    form: str

    @property
    def tasks(self) -> int:
        """The number of tasks."""
        return len(self.labels)

    def per_task(self, values: Array) -> Array:
        """Sums of row values by task (T,)."""
        if self.codes is None:
            return np.broadcast_to(values.sum(axis=0), (self.tasks,))
        return np.asarray(np.bincount(self.codes, weights=values, minlength=self.tasks), dtype=np.float64)

    def normalised_weight(self, scaling: str) -> Array:
        """The weights, divided by their sum in each task for ``"mean"``."""
        if scaling == "sum":
            return self.weight
        if self.codes is None:
            return np.asarray(self.weight / self.weight.sum(axis=0))
        return np.asarray(self.weight / self.per_task(self.weight)[self.codes])

    def feature_sums(self, weight: Array) -> Array:
        """Weighted sums of the features by task (T, d)."""
        if self.codes is None:
            return np.broadcast_to(np.asarray((self.X.T @ weight).T), (self.tasks, self.X.shape[1]))
        rows = np.arange(len(self.codes))
        chooser = sp.csr_array((weight, (self.codes, rows)), shape=(self.tasks, len(self.codes)))
        sums = chooser @ self.X
        return np.asarray(sums.toarray() if is_sparse(sums) else sums)


def is_lists(X: Any) -> bool:
    """Whether ``X`` is one table per task."""
    return isinstance(X, list | tuple) and len(X) > 0 and all(is_sparse(x) or np.ndim(x) == 2 for x in X)


def read_rows(estimator: Any, X: Any, y: Any, tasks: Any, sample_weight: Any, *, reset: bool = True) -> Rows:
    """Check what ``fit`` was given.

    :raises ValueError: naming the task, as scikit-learn words it.
    """
    if y is None:
        raise DataError(f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None.")
    if is_lists(X):
        return _read_lists(estimator, X, y, tasks, sample_weight, reset=reset)
    checked = read_features(estimator, X, tasks, reset=reset)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return _read_columns(checked, y, tasks, sample_weight)
    if y.ndim == 2:
        y = y[:, 0]
    labels, codes = read_tasks(tasks, checked.shape[0])
    target = column_or_1d(y)
    if target.dtype.kind not in "fiu":
        target = np.asarray(check_array(target, ensure_2d=False, dtype="numeric", ensure_all_finite=False))
    target = target.astype(np.float64, copy=False)
    if len(target) != checked.shape[0]:
        raise DataError(
            f"Found input variables with inconsistent numbers of samples: X {checked.shape[0]}, y {len(target)}."
        )
    check_labels(target, labels, codes)
    weight = _read_weights(sample_weight, checked)
    rows = Rows(checked, target, weight, codes, labels, "single" if tasks is None else "stacked")
    _check_weights(rows)
    return rows


def read_features(estimator: Any, X: Any, tasks: Any = None, *, reset: bool = False) -> Any:
    """Dense float64 or CSR; what is wrong in a row is told with the row's task."""
    try:
        checked = validate_data(
            estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset, ensure_min_features=1
        )
    except ValueError as error:
        where = _first_bad_row(X, tasks) if tasks is not None else None
        if where is None:
            raise
        raise DataError(str(error), where=where) from error
    if is_sparse(checked):
        compressed: Any = sp.csr_array(checked)
        return compressed.astype(np.float64)
    return checked.astype(np.float64, copy=False)


def read_tasks(tasks: Any, rows: int) -> tuple[NDArray[Any], Codes]:
    """Names of the tasks and the task of each row; one task named 0 without any."""
    if tasks is None:
        return np.array([0]), np.zeros(rows, dtype=np.intp)
    given = np.asarray(tasks)
    if given.ndim != 1 or len(given) != rows:
        raise DataError(
            f"tasks must have one label per row of X: expected shape ({rows},), found {given.shape}.", where="tasks"
        )
    missing = _missing(given)
    if missing.any():
        raise DataError(f"row {int(np.flatnonzero(missing)[0])} has no task label.", where="tasks")
    try:
        labels, codes = np.unique(given, return_inverse=True)
    except TypeError as error:
        raise DataError("task labels must be of one type, all numbers or all strings.", where="tasks") from error
    return labels, codes.astype(np.intp, copy=False)


def _missing(names: NDArray[Any]) -> NDArray[np.bool_]:
    """Which names are None or NaN."""
    if names.dtype.kind in "biuUS":
        return np.zeros(len(names), dtype=bool)
    if names.dtype.kind == "f":
        return np.asarray(np.isnan(names))
    return np.array([value is None or value != value for value in names.tolist()], dtype=bool)  # noqa: PLR0124


def _read_lists(estimator: Any, X: Any, y: Any, tasks: Any, sample_weight: Any, *, reset: bool) -> Rows:
    labels = np.arange(len(X)) if tasks is None else np.asarray(tasks)
    if labels.ndim != 1 or len(np.unique(labels)) != len(X):
        raise DataError(
            f"lists need one distinct task label per array: {len(X)} arrays, tasks {tasks!r}.", where="tasks"
        )
    if len(y) != len(X):
        raise DataError(f"X is a list of {len(X)} arrays, y of {len(y)}.")
    for label, x, target in zip(labels.tolist(), X, y, strict=True):
        if x.shape[0] != len(target) or x.shape[0] == 0:
            raise DataError(
                f"X has {x.shape[0]} rows, y {len(target)}; at least one is needed.", where=f"task {label!r}"
            )
        if x.shape[1] != X[0].shape[1]:
            raise DataError(
                f"expected {X[0].shape[1]} features as in the first task, found {x.shape[1]}.", where=f"task {label!r}"
            )
    stacked = stack(X)
    weight = None if sample_weight is None else np.concatenate([np.asarray(w, dtype=float) for w in sample_weight])
    names = np.repeat(labels, [x.shape[0] for x in X])
    rows = read_rows(estimator, stacked, np.concatenate([np.asarray(v) for v in y]), names, weight, reset=reset)
    return Rows(rows.X, rows.y, rows.weight, rows.codes, rows.labels, "lists")


def stack(X: Any) -> Any:
    """The arrays of a list below one another."""
    if any(is_sparse(x) for x in X):
        return sp.csr_array(sp.vstack([sp.csr_array(x) for x in X]))
    return np.concatenate([np.asarray(x) for x in X])


def _read_columns(X: Any, y: Any, tasks: Any, sample_weight: Any) -> Rows:
    if tasks is not None:
        raise DataError("a two-dimensional y has a column per task and takes no tasks.", where="tasks")
    target = check_array(y, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y", ensure_min_features=2)
    if len(target) != X.shape[0]:
        raise DataError(f"Found input variables with inconsistent numbers of samples: X {X.shape[0]}, y {len(target)}.")
    given = _read_weights(sample_weight, X)[:, None]
    known = ~np.isnan(target)
    if not known.all():
        given = np.where(known, given, 0.0)
        target = np.where(known, target, 0.0)
    rows = Rows(X, target, given, None, np.arange(target.shape[1]), "columns")
    _check_weights(rows)
    return rows


def check_labels(y: Array, labels: NDArray[Any], codes: Codes) -> None:
    """Refuse labels that are not finite, with the task."""
    wrong = np.flatnonzero(~np.isfinite(y))
    if len(wrong):
        what = "NaN" if np.isnan(y[wrong[0]]) else "infinity"
        raise DataError(f"Input y contains {what} (row {wrong[0]}).", where=f"task {labels[codes[wrong[0]]].item()!r}")


def _read_weights(given: Any, X: Any) -> Array:
    if given is None:
        return np.ones(X.shape[0])
    return np.asarray(_check_sample_weight(given, X, dtype=np.float64, ensure_non_negative=True))


def _check_weights(rows: Rows) -> None:
    empty = np.flatnonzero(rows.per_task(rows.weight) <= 0)
    if len(empty):
        raise DataError(
            "no labelled row with a positive weight.", where=f"task {rows.labels[empty[0]].item()!r}",
            do="Leave the task out, or give it a label.",
        )  # fmt: skip


def _first_bad_row(X: Any, tasks: Any) -> str | None:
    """The task of the first row with a value that is not finite."""
    values: Any = X.tocsr() if is_sparse(X) else np.asarray(X)
    if values.ndim != 2 or len(tasks) != values.shape[0] or values.dtype.kind not in "fiub":
        return None
    if is_sparse(values):
        bad = np.searchsorted(values.indptr, np.flatnonzero(~np.isfinite(values.data)), side="right") - 1
    else:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    return f"task {np.asarray(tasks)[bad[0]].item()!r}, row {bad[0]}" if len(bad) else None
