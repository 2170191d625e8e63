"""Boosted trees with a value per task in every leaf: shared structure, shared and own values."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from polytask.errors import ConfigError
from polytask.linear.arrays import Array, is_sparse
from polytask.linear.boosting import Ensemble, boost
from polytask.linear.forms import Rows
from polytask.linear.histogram_tree import TreeOptions
from polytask.linear.placing import Placed
from polytask.linear.rows_of_tasks import stacked
from polytask.linear.shells import TaskClassifier, TaskRegressor


class TaskTrees(TaskRegressor):
    """Gradient boosting for several tasks: all grow one sequence of trees, every leaf has a value per task.

    The value of a task in a leaf is the value of all tasks there plus one of its own, held back as if ``pooling`` rows
    spoke for zero: 0 is a vector-valued leaf without a common part, infinity one model for all tasks (with a common
    mean). Splits take off most of the loss of all tasks together. Labels of different units should be standardised.
    Sparse X is made dense; a missing label takes no part.

    The trees are our own because no library grows them: a multi-output tree of scikit-learn needs every label of every
    row and has no common value, and LightGBM has one value per leaf, the task at best a category among the features.

    :param rounds: number of trees.
    :param learning_rate: of each.
    :param depth: of the trees.
    :param least_rows: in a leaf, over all tasks.
    :param pooling: pseudo-rows that hold a task to the common value.
    :param ridge: pseudo-rows that hold the common value to zero.
    :param bins: of a feature, 2 to 256.
    :param unseen: ``"error"``, or ``"warn"`` and answer with the common values.

    Fitted: ``ensemble_``, the trees and their thresholds; ``tasks_`` (T,).

    Chapelle, Shivaswamy, Vadrevu, Weinberger, Zhang and Tseng. Multi-task learning for boosting with application to web
    search ranking. KDD 2010.
    """

    def __init__(
        self,
        rounds: int = 100,
        learning_rate: float = 0.1,
        *,
        depth: int = 3,
        least_rows: int = 10,
        pooling: float = 10.0,
        ridge: float = 0.0,
        bins: int = 64,
        unseen: str = "error",
    ) -> None:
        self.rounds = rounds
        self.learning_rate = learning_rate
        self.depth = depth
        self.least_rows = least_rows
        self.pooling = pooling
        self.ridge = ridge
        self.bins = bins
        self.unseen = unseen

    def _fit(self, rows: Rows) -> None:
        self.ensemble_ = _grow(self, rows, logistic=False)
        self.tasks_, self.form_ = rows.labels, rows.form

    def _values(self, X: Any, placed: Placed) -> Array:
        return _answer(self.ensemble_, X, placed)


class TaskTreesClassifier(TaskClassifier):
    """Gradient boosting of the logistic loss for several binary tasks; the trees of ``TaskTrees``.

    :param rounds: number of trees.
    :param learning_rate: of each.
    :param depth: of the trees.
    :param least_rows: in a leaf, over all tasks.
    :param pooling: curvature that holds a task to the common value; a row has at most 1/4.
    :param ridge: curvature that holds the common value to zero.
    :param bins: of a feature, 2 to 256.
    :param unseen: ``"error"``, or ``"warn"`` and answer with the common values.
    """

    def __init__(
        self,
        rounds: int = 100,
        learning_rate: float = 0.1,
        *,
        depth: int = 3,
        least_rows: int = 10,
        pooling: float = 2.5,
        ridge: float = 0.01,
        bins: int = 64,
        unseen: str = "error",
    ) -> None:
        self.rounds = rounds
        self.learning_rate = learning_rate
        self.depth = depth
        self.least_rows = least_rows
        self.pooling = pooling
        self.ridge = ridge
        self.bins = bins
        self.unseen = unseen

    def _fit(self, rows: Rows) -> None:
        self.ensemble_ = _grow(self, rows, logistic=True)
        self.tasks_, self.form_ = rows.labels, rows.form

    def _values(self, X: Any, placed: Placed) -> Array:
        return _answer(self.ensemble_, X, placed)


def _grow(model: TaskTrees | TaskTreesClassifier, rows: Rows, *, logistic: bool) -> Ensemble:
    for name, least, most in (("rounds", 1, np.inf), ("depth", 1, np.inf), ("least_rows", 1, np.inf), ("bins", 2, 256)):
        value = getattr(model, name)
        if not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
            raise ConfigError(f"expected a whole number from {least} to {most}, found {value!r}.", where=name)
    for name in ("learning_rate", "pooling", "ridge"):
        value = getattr(model, name)
        if not isinstance(value, numbers.Real) or not float(value) >= 0:
            raise ConfigError(f"expected a number of at least 0, found {value!r}.", where=name)
    data = stacked(rows)
    options = TreeOptions(model.depth, model.least_rows, min(model.pooling, 1e12), model.ridge, model.bins)
    return boost(
        _dense(data.X), np.asarray(data.codes), data.tasks, data.y, data.weight,
        rounds=model.rounds, rate=model.learning_rate, options=options, logistic=logistic,
    )  # fmt: skip


def _answer(ensemble: Ensemble, X: Any, placed: Placed) -> Array:
    if placed.codes is None:
        return ensemble.all_values(_dense(X))
    return ensemble.values(_dense(X), placed.codes)


def _dense(X: Any) -> Array:
    return np.asarray(X.toarray() if is_sparse(X) else X)
