"""Optima computed with independent solvers (cvxpy, closed forms)."""

from __future__ import annotations

import numpy as np
import pytest
from linear_problems import SMALL_X, SMALL_Y, VECTORS

from polytask import linear
from polytask.linear import prox

EXACT = {"fit_intercept": False, "tol": 1e-10, "max_iter": 100_000}


def expected(method, case=0):
    return VECTORS[method][case]["expected"]


def strength(method, case):
    return VECTORS[method][case]["inputs"]["lambda"]


CASES = {
    "mean_regularised": (linear.MeanRegularized(2.0, 0.1, **EXACT), expected("mean_regularised"), 1e-9),
    "evgeniou_pontil": (linear.MeanRegularized(0.75, 0.25, **EXACT), expected("mean_regularised", 1), 1e-6),
    "l21_0": (linear.JointFeature(strength("l21", 0), **EXACT), expected("l21", 0), 1e-7),
    "l21_1": (linear.JointFeature(strength("l21", 1), **EXACT), expected("l21", 1), 1e-7),
    "l21_2": (linear.JointFeature(strength("l21", 2), **EXACT), expected("l21", 2), 1e-7),
    "trace_0": (linear.TraceNorm(strength("trace_norm", 0), **EXACT), expected("trace_norm", 0), 1e-7),
    "trace_1": (linear.TraceNorm(strength("trace_norm", 1), **EXACT), expected("trace_norm", 1), 1e-7),
    "dirty": (linear.Dirty(1.0, 0.6, **EXACT), expected("dirty"), 1e-6),
    "robust": (linear.Robust(1.0, 0.8, **EXACT), expected("robust_mtl"), 1e-6),
    "robust_feature": (linear.RobustFeature(0.7, 0.9, **EXACT), expected("robust_feature_mtl"), 1e-6),
    "sparse_low_rank": (linear.SparseLowRank(0.6, 1.0, **EXACT), expected("sparse_lowrank"), 1e-4),
    "graph": (linear.GraphTasks(1.5, ridge=0.0, **EXACT), expected("graph_smooth"), 1e-9),
    "cfsgl": (linear.TemporalGroup(0.0, 0.0, 0.2, 0.5, 0.3, **EXACT), expected("fused_sparse_group"), 1e-4),
    "clustered": (linear.ClusteredTasks(1.0, 0.5, 2, **EXACT), expected("clustered_mtl"), 2e-3),
    "caso": (linear.AlternatingStructure(1.0, 0.5, 2, **EXACT), expected("caso"), 2e-3),
    "feature_learning": (linear.FeatureLearning(0.3, **EXACT), expected("mtfl_argyriou"), 1e-6),
}


@pytest.mark.parametrize("case", CASES)
def test_regression_optimum(case):
    estimator, answer, tol = CASES[case]
    estimator.fit(SMALL_X, SMALL_Y)
    np.testing.assert_allclose(estimator.coef_.T, answer["W"], atol=tol)
    assert estimator.objective_ == pytest.approx(answer["objective"], abs=1e-6)
    assert estimator.residual_ <= 1e-10


@pytest.mark.parametrize(
    ("estimator", "method"),
    [(linear.JointFeatureClassifier, "l21"), (linear.TraceNormClassifier, "trace_norm")],
)
def test_logistic_optimum(estimator, method):
    case = VECTORS[method][-1]
    labels = [np.array(y) for y in case["inputs"]["y_pm1"]]
    model = estimator(case["inputs"]["lambda"], tol=1e-9).fit(SMALL_X, labels)
    np.testing.assert_allclose(model.coef_.T, case["expected"]["W"], atol=1e-6)
    np.testing.assert_allclose(model.intercept_, case["expected"]["intercepts"], atol=1e-6)
    assert model.objective_ == pytest.approx(case["expected"]["objective"], abs=1e-6)


@pytest.mark.parametrize(
    ("estimator", "method", "case"), [(linear.JointFeature, "l21", 3), (linear.TraceNorm, "trace_norm", 2)]
)
def test_lambda_max(estimator, method, case):
    value = estimator(fit_intercept=False).lambda_max(SMALL_X, SMALL_Y)
    assert value == pytest.approx(expected(method, case)["lambda_max"], rel=1e-10)
    zero = estimator(value * (1 + 1e-9), fit_intercept=False).fit(SMALL_X, SMALL_Y)
    below = estimator(value * 0.99, fit_intercept=False).fit(SMALL_X, SMALL_Y)
    assert np.abs(zero.coef_).max() < 1e-12
    assert np.abs(below.coef_).max() > 1e-4


def test_what_is_learned_about_tasks_and_features():
    clusters = linear.ClusteredTasks(1.0, 0.5, 2, **EXACT).fit(SMALL_X, SMALL_Y)
    np.testing.assert_allclose(clusters.task_covariance_, expected("clustered_mtl")["M"], atol=2e-3)
    assert np.trace(clusters.task_covariance_) == pytest.approx(2)
    features = linear.FeatureLearning(0.3, **EXACT).fit(SMALL_X, SMALL_Y)
    np.testing.assert_allclose(features.feature_covariance_, expected("mtfl_argyriou")["D_trace1"], atol=1e-6)


def _prox(name):
    case = next(case for case in VECTORS["prox"] if case["id"] == name)
    return case["inputs"], np.array(case["expected"]["out"])


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        ("l21_rows", lambda W, t: prox.shrink(W, t, axis=1)),
        ("l1", prox.soft),
        ("l12_columns", lambda W, t: prox.shrink(W, t, axis=0)),
        ("linf_rows", lambda W, t: prox.largest_entries(W.T, t).T),
        ("nuclear", lambda W, t: linear.penalties.TraceNormPenalty(1.0).prox(W, t)),
    ],
)
def test_operators(name, operator):
    inputs, out = _prox(name)
    np.testing.assert_allclose(operator(np.array(inputs["W"]), inputs["t"]), out, atol=1e-12)


def test_projections():
    inputs, out = _prox("project_nuclear_ball")
    ball = linear.penalties.TraceBall(inputs["tau"])
    np.testing.assert_allclose(ball.prox(np.array(inputs["W"]), 0.3), out, atol=1e-12)
    inputs, out = _prox("capped_simplex_k")
    np.testing.assert_allclose(prox.capped_simplex(np.array(inputs["a"]), inputs["k"]), out, atol=1e-12)
