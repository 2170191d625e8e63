"""Scores of models against scikit-learn, and the pictures of their errors."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import calibration as sk_calibration
from sklearn import metrics as sk

from polytask.errors import UserError
from polytask.evaluation.diagnostics import calibration, diagnostics, residuals
from polytask.evaluation.scores import TaskScore, pair, score
from polytask.evaluation.verdict import verdicts
from polytask.tasks.binary import Binary
from polytask.tasks.count import Count
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.multilabel import Multilabel
from polytask.tasks.ordinal import Ordinal
from polytask.tasks.regression import Regression
from polytask.tasks.task import Target, Task

N = 300


def labels(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "yes": rng.random(N) < 0.3,
            "kind": rng.choice(["a", "b", "c"], N),
            "grade": rng.integers(1, 5, N),
            "size": rng.normal(50, 10, N),
            "other": rng.normal(0, 1, N),
            "visits": rng.poisson(2.0, N),
            "l1": rng.random(N) < 0.5,
            "l2": rng.random(N) < 0.4,
        }
    )
    missing = {name: rng.random(N) < 0.2 for name in frame.columns}
    return frame.with_columns(
        pl.when(pl.Series(missing[name])).then(None).otherwise(pl.col(name)).alias(name) for name in frame.columns
    )


TASKS: list[Task] = [
    Binary("yes"),
    Multiclass("kind"),
    Ordinal("grade"),
    Regression("size"),
    Regression("vector", columns=("size", "other")),
    Count("visits"),
    Multilabel("several", columns=("l1", "l2")),
]


def fitted(task: Task, seed: int = 0) -> tuple[Target, dict[str, Any], torch.Tensor]:
    """A target, the answer of random outputs, and the encoded labels."""
    target = task.fit(labels())
    generator = torch.Generator().manual_seed(seed)
    outputs = target.bias() + 0.5 * torch.randn(N, target.outputs, generator=generator)
    return target, target.answer(outputs), target.encode(labels())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_is_scored_on_its_labelled_rows(task: Task) -> None:
    target, answer, encoded = fitted(task)
    found = score(target, answer, encoded)
    present = labels().select(pl.any_horizontal(pl.col(c).is_not_null() for c in task.columns)).to_series()
    assert found.positions.tolist() == present.arg_true().to_list()
    assert found.n == int(present.sum())
    assert set(found.values) == {metric.name for metric in task.metrics()}
    assert found.value == pytest.approx(found.rows.mean())
    assert all(math.isfinite(value) for value in found.values.values())


def test_binary_scores_are_those_of_scikit_learn() -> None:
    target, answer, encoded = fitted(Binary("yes"))
    found = score(target, answer, encoded)
    truth = labels()["yes"].drop_nulls().to_numpy()
    probability = answer["probability"][found.positions]
    assert found.values["auc"] == pytest.approx(sk.roc_auc_score(truth, probability))
    assert found.values["log_loss"] == pytest.approx(sk.log_loss(truth, probability))
    assert found.rare_rows == min(truth.sum(), (~truth).sum())
    assert (found.metric, found.best, found.higher_is_better) == ("auc", 1.0, True)


def test_the_metric_and_role_of_the_user_count() -> None:
    target, answer, encoded = fitted(Binary("yes", metric="log_loss", role="auxiliary"))
    found = score(target, answer, encoded)
    assert (found.metric, found.higher_is_better, found.auxiliary) == ("log_loss", False, True)
    assert verdicts({"yes": pair([found, found], [found, found])})["yes"].verdict == "withheld"


def test_no_label_at_all() -> None:
    target, answer, encoded = fitted(Regression("size"))
    found = score(target, answer, torch.full_like(encoded, torch.nan))
    assert found.n == 0
    assert all(math.isnan(value) for value in found.values.values())
    assert diagnostics(target, answer, torch.full_like(encoded, torch.nan)) == {}
    assert verdicts({"size": pair([found] * 3, [found] * 3)})["size"].verdict == "withheld"


def test_one_class_on_the_test_rows_is_withheld_not_crashed() -> None:
    target, answer, encoded = fitted(Binary("yes"))
    found = score(target, answer, torch.zeros_like(encoded))
    assert math.isnan(found.value)
    assert found.rare_rows == 0
    assert "rarer class" in verdicts({"yes": pair([found] * 3, [found] * 3)})["yes"].note


def test_a_wrong_number_of_answers_is_named() -> None:
    target, answer, encoded = fitted(Regression("size"))
    with pytest.raises(UserError, match=r"task 'size'.*300 rows, found 299"):
        score(target, {"value": answer["value"][1:]}, encoded)


def test_pairs_go_to_a_verdict() -> None:
    runs = [score(*fitted(Regression("size"), seed)) for seed in range(6)]
    scores = pair(runs[:3], runs[3:], margin=100.0)
    assert scores.seeds == (3, 3)
    np.testing.assert_array_equal(scores.baseline[1], runs[1].rows)
    found = verdicts({"size": scores})["size"]
    assert found.baseline == pytest.approx(np.mean([run.value for run in runs[:3]]))
    assert found.verdict == "practically equal"


@pytest.mark.parametrize(
    "change", [{"task": "other"}, {"metric": "mae"}, {"positions": np.arange(3)}], ids=lambda c: next(iter(c))
)
def test_pairs_must_fit(change: dict[str, Any]) -> None:
    one = score(*fitted(Regression("size")))
    other: TaskScore = dataclasses.replace(one, **change)
    with pytest.raises(UserError):
        pair([one], [other])
    with pytest.raises(UserError):
        pair([one], [])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_has_a_picture_of_its_errors(task: Task) -> None:
    target, answer, encoded = fitted(task)
    found = diagnostics(target, answer, encoded, bins=5)
    assert list(found) == list(task.columns)
    for column, curve in found.items():
        assert curve.kind == ("residual" if isinstance(task, Regression | Count) else "calibration")
        assert sum(curve.n) == labels()[column].drop_nulls().len()
        assert all(low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))
        assert list(curve.x) == sorted(curve.x)


def test_calibration_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(1000)
    hit = (rng.random(1000) < probability).astype(float)
    curve = calibration(probability, hit)
    share, mean = sk_calibration.calibration_curve(hit, probability, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(curve.y, share)
    np.testing.assert_allclose(curve.x, mean)
    assert curve.n == (100,) * 10


def test_wilson_band_by_hand() -> None:
    """5 of 10: centre 1/2, half width z sqrt(1/40 + z^2/400) / (1 + z^2/10), the interval (.2366, .7634)."""
    curve = calibration(np.full(10, 0.5), np.repeat([0.0, 1.0], 5))
    assert (curve.n, curve.x, curve.y) == ((10,), (0.5,), (0.5,))
    assert (curve.low[0], curve.high[0]) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_residuals_by_hand() -> None:
    """Two bins; errors 1, 3 (mean 2, sd sqrt 2) and 0, 0; equal predictions share a bin."""
    curve = residuals(np.array([0.0, 0.0, 9.0, 9.0]), np.array([1.0, 3.0, 9.0, 9.0]), bins=2)
    assert curve.x == (0.0, 9.0)
    assert curve.y == (2.0, 0.0)
    assert curve.high[0] == pytest.approx(2 + 1.959963984540054)
    assert (curve.low[1], curve.high[1]) == (0.0, 0.0)
    assert residuals(np.zeros(7), np.ones(7)).n == (7,)
    assert residuals(np.zeros(1), np.ones(1)).low == (1.0,)
