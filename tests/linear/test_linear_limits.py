"""Where one method becomes another: strengths that are nought, huge, or at a published threshold."""

from __future__ import annotations

import numpy as np
import pytest
from linear_problems import Data, make
from sklearn.linear_model import Lasso, Ridge

from polytask import linear
from polytask.linear.base import LinearTasks

EXACT = {"tol": 1e-9, "max_iter": 300_000}
CONVEX = {name: cls for name, cls in linear.ESTIMATORS.items() if issubclass(cls, LinearTasks)}
DATA = make([14, 11, 18], 4, 80)
HUGE = 1e6


def coef(model, data: Data = DATA) -> np.ndarray:
    labels = data.signs if model.logistic else data.y
    return model.fit(data.X, labels, tasks=data.tasks, sample_weight=data.weight).coef_


SAME = {
    "robust without outliers is the trace norm": (linear.Robust(4.0, HUGE, **EXACT), linear.TraceNorm(4.0, **EXACT)),
    "robust features without outliers are joint features": (
        linear.RobustFeature(4.0, HUGE, **EXACT),
        linear.JointFeature(4.0, **EXACT),
    ),
    "outlier tasks only are the same in both": (
        linear.Robust(HUGE, 6.0, **EXACT),
        linear.RobustFeature(HUGE, 6.0, **EXACT),
    ),
    "a sparse part only is the dirty model without a shared one": (
        linear.SparseLowRank(2.0, 0.0, **EXACT),
        linear.Dirty(HUGE, 2.0, **EXACT),
    ),
    "a dirty model with shared >= T own has no shared part": (
        linear.Dirty(3 * 2.0, 2.0, **EXACT),
        linear.Dirty(HUGE, 2.0, **EXACT),
    ),
    "a dirty model with own >= shared has no part of its own": (
        linear.Dirty(5.0, 5.0, **EXACT),
        linear.Dirty(5.0, HUGE, **EXACT),
    ),
    "as many clusters as tasks are a ridge": (
        linear.ClusteredTasks(0.8, 0.5, 3, **EXACT),
        linear.MeanRegularized(0.0, 0.5, **EXACT),
    ),
    "as many dimensions as features are a ridge": (
        linear.AlternatingStructure(0.8, 0.5, 3, **EXACT),
        linear.ClusteredTasks(0.8, 0.5, 3, **EXACT),
    ),
    "a temporal group without its other terms is joint features": (
        linear.TemporalGroup(0.0, 0.0, 0.0, 0.0, 4.0, **EXACT),
        linear.JointFeature(4.0, **EXACT),
    ),
    "a smooth temporal group is a chain": (
        linear.TemporalGroup(0.3, 0.7, 0.0, 0.0, 0.0, **EXACT),
        linear.GraphTasks(0.7, "chain", 0.3, **EXACT),
    ),
    "a tight chain is one model": (
        linear.GraphTasks(HUGE, "chain", 0.3, **EXACT),
        linear.MeanRegularized(HUGE, 0.3, **EXACT),
    ),
    "a tight fusion is one model": (
        linear.TemporalGroup(0.3, 0.0, 0.0, HUGE, 0.0, **EXACT),
        linear.MeanRegularized(HUGE, 0.3, **EXACT),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_one_method_is_the_other(case):
    one, other = (coef(model) for model in SAME[case])
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(one).max() > 0.1


def test_own_part_of_a_dirty_model_is_a_lasso_per_task():
    weights = coef(linear.Dirty(3 * 2.0, 2.0, **EXACT))
    for own, task in zip(weights, np.unique(DATA.tasks), strict=True):
        rows = DATA.tasks == task
        lasso = Lasso(alpha=2.0 / rows.sum(), tol=1e-12, max_iter=100_000).fit(DATA.X[rows], DATA.y[rows])
        np.testing.assert_allclose(own, lasso.coef_, atol=1e-6)


def test_as_many_clusters_as_tasks_are_scikit_learns_ridge():
    weights = coef(linear.ClusteredTasks(0.8, 0.5, 3, **EXACT))
    for own, task in zip(weights, np.unique(DATA.tasks), strict=True):
        rows = DATA.tasks == task
        np.testing.assert_allclose(own, Ridge(2 * 0.5).fit(DATA.X[rows], DATA.y[rows]).coef_, atol=1e-6)


@pytest.mark.parametrize("name", CONVEX)
def test_from_the_critical_strength_on_all_weights_are_zero(name):
    cls = CONVEX[name]
    labels = DATA.signs if cls.logistic else DATA.y
    factor = cls().lambda_max(DATA.X, labels, DATA.tasks)
    if not np.isfinite(factor):
        huge = coef(cls(**{key: 1e3 * getattr(cls(), key) for key in cls.strengths}))
        assert huge.any() or "temporal" in name  # its sum of norms has a critical strength, but no formula for it
        return
    at = {key: getattr(cls(), key) for key in cls.strengths}
    above = coef(cls(**{key: 1.001 * factor * value for key, value in at.items()}, **EXACT))
    below = coef(cls(**{key: 0.98 * factor * value for key, value in at.items()}, **EXACT))
    assert np.abs(above).max() <= 1e-8
    assert np.abs(below).max() > 1e-5


@pytest.mark.parametrize("name", CONVEX)
def test_intercepts_take_up_shifts(name):
    """A constant added to a feature, or to the labels, changes nothing but intercepts."""
    cls = CONVEX[name]
    shifted = Data(DATA.X + np.array([3.0, -1.0, 0.5, 2.0]), DATA.y + 7.0, DATA.tasks)
    one, other = cls(**EXACT), cls(**EXACT)
    np.testing.assert_allclose(coef(other, shifted), coef(one), atol=1e-5)
    expected = one.intercept_ + (0.0 if cls.logistic else 7.0) - one.coef_ @ np.array([3.0, -1.0, 0.5, 2.0])
    np.testing.assert_allclose(other.intercept_, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["joint_feature", "trace_norm", "robust_feature", "mean_regularized", "graph_tasks"])
def test_the_sign_of_a_feature_does_not_matter(name):
    flip = np.array([1.0, -1.0, -1.0, 1.0])
    turned = coef(CONVEX[name](**EXACT), Data(DATA.X * flip, DATA.y, DATA.tasks))
    np.testing.assert_allclose(turned, coef(CONVEX[name](**EXACT)) * flip, atol=1e-6)


@pytest.mark.parametrize(("name", "power"), [("joint_feature", 0.5), ("trace_norm", 0.5), ("mean_regularized", 0.0)])
def test_a_task_that_comes_twice(name, power):
    """The loss doubles, and so do sums of squares; norms over tasks grow by the root of two."""
    cls = CONVEX[name]
    twice = Data(
        np.tile(DATA.X, (2, 1)),
        np.tile(DATA.y, 2),
        np.concatenate([DATA.tasks, np.char.add(DATA.tasks.astype(str), "b")]),
    )
    two = coef(cls(**dict.fromkeys(cls.strengths, 6.0 * 2.0**power), **EXACT), twice)
    names = np.unique(twice.tasks)
    first = two[[not name.endswith("b") for name in names]]
    second = two[[name.endswith("b") for name in names]]
    np.testing.assert_allclose(first, second, atol=1e-6)
    np.testing.assert_allclose(first, coef(cls(**dict.fromkeys(cls.strengths, 6.0), **EXACT)), atol=1e-6)
