"""Linear multi-task estimators as contenders: the same rows, the same verdicts (extra ``[linear]``)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.batch import Inputs, InputSpec
from polytask.data.table import Table
from polytask.errors import MissingExtraError, TaskError, UnknownNameError, did_you_mean
from polytask.studies.problem import Part, Problem
from polytask.studies.trainer import Fitted, Trainer
from polytask.tasks.binary import BinaryTarget
from polytask.tasks.multilabel import MultilabelTarget
from polytask.tasks.regression import RegressionTarget
from polytask.tasks.task import Array, Target

Matrix = NDArray[np.float64]
Estimator = Any
"""A scikit-learn estimator; the package has no types."""

FACTORS = tuple(float(f) for f in np.geomspace(1e-5, 10.0, 13))
"""Factors on the strengths that are tried; losses are means over the rows of a task."""


@dataclass(frozen=True)
class Linear(Trainer):
    """An estimator of ``polytask.linear`` for all regression columns, and its classifier for all binary ones.

    Its strengths are multiplied by the factor, out of 13 from 1e-5 to 10, that has the least mean relative loss on the
    validation rows. Categories become one-hot columns.

    :param estimator: a name of ``polytask.linear.ESTIMATORS``, without ``_classifier``.
    :param options: its arguments, for example ``{"strength": 2.0, "ridge": 1.0}``: strengths relative to one another.
    """

    estimator: str = "mean_regularized"
    options: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The estimator and its options."""
        return {"estimator": self.estimator} | self.options

    def check(self, targets: Sequence[Target]) -> None:
        """Refuse what a linear estimator cannot learn, before anything is trained.

        :raises TaskError: a task that is neither binary nor a number. :raises UnknownNameError: no such estimator.
        """
        estimator_classes(self.estimator)
        for target in targets:
            if _kind(target) is None:
                raise TaskError(
                    f"the linear contender {self.estimator!r} learns binary, multilabel and regression tasks "
                    "(mse, mae, huber), not this one.",
                    where=f"task {target.task.name!r}",
                    do="Leave the linear contender out of the comparison.",
                )

    def fit(self, problem: Problem, tasks: tuple[str, ...], part: Part, seed: int) -> Fitted:
        """Both estimators, with strengths chosen on the validation rows. The seed only draws those rows."""
        targets = problem.chosen(tasks)
        self.check(targets)
        begin = time.perf_counter()
        rows = _rows(part.train, problem.spec)
        held = _rows(part.validation, problem.spec) if part.validation is not None else None
        fitted = {
            kind: self._chosen([t for t in targets if _kind(t) == kind], kind, rows, held)
            for kind in dict.fromkeys(_kind(target) for target in targets)
            if kind is not None
        }
        return FittedLinear(targets, problem.spec, fitted, seconds=time.perf_counter() - begin)

    def _chosen(self, targets: Sequence[Target], kind: str, rows: _Rows, held: _Rows | None) -> Estimator:
        cls = dict(zip(("number", "binary"), estimator_classes(self.estimator), strict=True))[kind]
        y = rows.columns(targets)
        wanted = held.columns(targets) if held is not None else None
        best, least = None, np.inf
        base = cls(**{"loss_scaling": "mean", **self.options})
        strengths = {name: float(getattr(base, name)) for name in base.strengths}
        for factor in FACTORS:
            model = cls(**{"loss_scaling": "mean", **self.options} | {k: v * factor for k, v in strengths.items()})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # slow convergence at the ends of the grid
                model.fit(*_given(rows.features, y))
            if held is None or wanted is None:
                return model
            loss = _loss(_scores(model, held.features), wanted, kind)
            if loss < least:
                best, least = model, loss
        return best


@dataclass
class FittedLinear(Fitted):
    """Linear models of some tasks, by kind of column."""

    targets: tuple[Target, ...]
    spec: InputSpec
    models: dict[str, Estimator]
    seconds: float
    memory_bytes: float = float("nan")
    history: tuple[()] = ()
    best_epochs: dict[str, int] = field(default_factory=dict)
    selected: float = float("nan")

    def __post_init__(self) -> None:
        self.tasks = tuple(target.task.name for target in self.targets)
        self.parameters = sum(model.coef_.size + model.intercept_.size for model in self.models.values())
        self.artefact_bytes = 8 * self.parameters
        self.steps = sum(int(model.n_iter_) for model in self.models.values())

    def answers(self, inputs: Inputs) -> dict[str, dict[str, Array]]:
        """What the estimators say about N rows."""
        features = one_hot(inputs, self.spec)
        found: dict[str, dict[str, Array]] = {}
        for kind, model in self.models.items():
            scores, at = torch.from_numpy(_scores(model, features)), 0
            for target in (t for t in self.targets if _kind(t) == kind):
                found[target.task.name] = target.answer(scores[:, at : at + target.width])
                at += target.width
        return {task: found[task] for task in self.tasks}


def estimator_classes(name: str) -> tuple[type[Estimator], type[Estimator]]:
    """Regressor and classifier of a name.

    :raises MissingExtraError: scikit-learn or SciPy is missing. :raises UnknownNameError: with the nearest name.
    """
    try:
        from polytask.linear import ESTIMATORS
    except ImportError:
        raise MissingExtraError("scikit-learn", "linear", "The linear contender") from None
    known = [key for key in ESTIMATORS if f"{key}_classifier" in ESTIMATORS]
    if name not in known:
        raise UnknownNameError(f"{name!r} is no linear estimator for comparisons.", do=did_you_mean(name, known))
    return ESTIMATORS[name], ESTIMATORS[f"{name}_classifier"]


def one_hot(inputs: Inputs, spec: InputSpec) -> Matrix:
    """Numeric columns, and a column per category: ``(N, F + sum of (cardinality - 1))``; missing is all zeros."""
    parts = [inputs.numeric.numpy().astype(np.float64)]
    for codes, levels in zip(inputs.categorical.numpy().T, spec.cardinalities, strict=True):
        parts.append((codes[:, None] == np.arange(1, levels)).astype(np.float64))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class _Rows:
    """Features ``(N, d)``, and labels by task ``(N, W)``, NaN where missing."""

    features: Matrix
    labels: dict[str, Matrix]

    def columns(self, targets: Sequence[Target]) -> Matrix:
        """All target columns side by side, ``(N, sum of W)``."""
        return np.concatenate([self.labels[t.task.name] for t in targets], axis=1)


def _rows(table: Table, spec: InputSpec) -> _Rows:
    batch = table.batch(torch.arange(len(table)))
    labels = {task: batch.targets[task].numpy().astype(np.float64) for task in batch.targets.layout}
    return _Rows(one_hot(batch.inputs, spec), labels)


def _given(features: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """What ``fit`` is given: one column is a single task, which has no place for missing labels."""
    if y.shape[1] > 1:
        return features, y
    known = ~np.isnan(y[:, 0])
    return features[known], y[known, 0]


def _kind(target: Target) -> str | None:
    """Which of the two estimators learns it."""
    if isinstance(target, BinaryTarget | MultilabelTarget):
        return "binary"
    return "number" if isinstance(target, RegressionTarget) and target.outputs == target.width else None


def _scores(model: Estimator, features: Matrix) -> Matrix:
    """Standardised predictions, or log odds, ``(N, columns)``."""
    values = model.decision_function(features) if model.logistic else model.predict(features)
    return np.asarray(values, np.float64).reshape(len(features), -1)


def _loss(scores: Matrix, truth: Matrix, kind: str) -> float:
    """Mean over columns of squared error, or of log loss, on labelled rows."""
    rows = (scores - truth) ** 2 if kind == "number" else np.logaddexp(0.0, np.where(truth == 1, -scores, scores))
    known = ~np.isnan(truth)
    means = [rows[known[:, i], i].mean() for i in range(truth.shape[1]) if known[:, i].any()]
    return float(np.mean(means)) if means else float("inf")
