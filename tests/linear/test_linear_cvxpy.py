"""Every convex estimator against cvxpy: the objective written out once more and solved by an interior-point method."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from linear_problems import HARD, Data, make
from scipy.sparse.csgraph import laplacian

from polytask import linear
from polytask.linear.base import LinearTasks

pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # the comparison says whether it is
EXACT = {"tol": 1e-9, "max_iter": 300_000}
CONVEX = {name: cls for name, cls in linear.ESTIMATORS.items() if issubclass(cls, LinearTasks)}
REGRESSORS = [name for name, cls in CONVEX.items() if not cls.logistic]
CLASSIFIERS = [name for name, cls in CONVEX.items() if cls.logistic]
UNIQUE = {"plain", "weights"}
"""Cases whose loss is strictly convex, so that the sum of the blocks is unique."""


FACTORS = (3.0, 0.4, 2.0, 0.7, 1.5)


def features(W):
    return cp.sum(cp.norm(W, 2, axis=0))


def outliers(W):
    return cp.sum(cp.norm(W, 2, axis=1))


def steps(W, power):
    if W.shape[0] == 1:
        return 0
    change = cp.diff(W, axis=0)
    return cp.sum_squares(change) if power == 2 else cp.sum(cp.abs(change))


def distance_to_mean(W):
    T = W.shape[0]
    return cp.sum_squares((np.eye(T) - np.full((T, T), 1 / T)) @ W)


def relation(W, m, rank):
    """``c min_M tr(W' (eta I + M)^-1 W)`` over ``0 <= M <= I``, ``tr M = rank``; rows of W are related."""
    size = W.shape[0]
    eta = m.ridge / m.strength
    M = cp.Variable((size, size), PSD=True)
    value = m.strength * eta * (1 + eta) * cp.matrix_frac(W, eta * np.eye(size) + M)
    return value, [np.eye(size) - M >> 0, cp.trace(M) == rank]


def chain(W, m):
    edges = np.diff(np.eye(W.shape[0]), axis=0)
    assert np.array_equal(edges.T @ edges, laplacian(np.eye(W.shape[0], k=1) + np.eye(W.shape[0], k=-1)))
    return (m.strength * cp.sum_squares(edges @ W) if len(edges) else 0) + m.ridge * cp.sum_squares(W), []


PENALTIES = {
    "mean_regularized": (1, lambda m, W: (m.strength * distance_to_mean(W) + m.ridge * cp.sum_squares(W), [])),
    "graph_tasks": (1, lambda m, W: chain(W, m)),
    "joint_feature": (1, lambda m, W: (m.strength * features(W), [])),
    "trace_norm": (1, lambda m, W: (m.strength * cp.normNuc(W), [])),
    "feature_learning": (1, lambda m, W: (m.strength * cp.square(cp.normNuc(W)), [])),
    "clustered_tasks": (1, lambda m, W: relation(W, m, m.clusters)),
    "alternating_structure": (1, lambda m, W: relation(W.T, m, m.dimensions)),
    "temporal_group": (
        1,
        lambda m, W: (
            m.ridge * cp.sum_squares(W) + m.smooth * steps(W, 2) + m.sparse * cp.sum(cp.abs(W))
            + m.fused * steps(W, 1) + m.group * features(W),
            [],
        ),
    ),
    "dirty": (2, lambda m, P, Q: (m.shared * cp.sum(cp.max(cp.abs(P), axis=0)) + m.own * cp.sum(cp.abs(Q)), [])),
    "robust": (2, lambda m, L, S: (m.low_rank * cp.normNuc(L) + m.outlier * outliers(S), [])),
    "robust_feature": (2, lambda m, P, Q: (m.shared * features(P) + m.outlier * outliers(Q), [])),
    "sparse_low_rank": (2, lambda m, P, Q: (m.sparse * cp.sum(cp.abs(P)), [cp.normNuc(Q) <= m.radius])),
}  # fmt: skip
"""Number of blocks, and penalty and constraints of an estimator, in the words of its docstring."""


def test_every_estimator_is_compared():
    assert {name.removesuffix("_classifier") for name in CONVEX} == set(PENALTIES)


def solved(model, data: Data) -> tuple[float, np.ndarray]:
    """Optimal objective and weights by an interior-point method."""
    blocks, penalty = PENALTIES[{cls: name for name, cls in CONVEX.items()}[type(model)].removesuffix("_classifier")]
    names, d = np.unique(data.tasks), data.X.shape[1]
    parts = [cp.Variable((len(names), d)) for _ in range(blocks)]
    W, levels = sum(parts), cp.Variable(len(names))
    weights = np.ones(len(data.y)) if data.weight is None else data.weight
    signs = np.where(data.signs == "yes", 1.0, -1.0)
    loss = 0
    for t, name in enumerate(names):
        rows = data.tasks == name
        w = weights[rows] / (weights[rows].sum() if model.loss_scaling == "mean" else 1)
        value = data.X[rows] @ W[t] + (levels[t] if model.fit_intercept else 0)
        if model.logistic:
            loss += w @ cp.logistic(-cp.multiply(signs[rows], value))
        else:
            loss += 0.5 * cp.sum_squares(cp.multiply(np.sqrt(w), data.y[rows] - value))
    size, constraints = penalty(model, *parts)
    problem = cp.Problem(cp.Minimize(loss + size), constraints)
    problem.solve(cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert problem.status in ("optimal", "optimal_inaccurate")
    return float(problem.value), W.value


def compare(model, data: Data, case: str) -> None:
    ranks = {"clusters", "dimensions"} & set(model.get_params())
    model.set_params(**dict.fromkeys(ranks, min(2, len(np.unique(data.tasks)))))
    labels = data.signs if model.logistic else data.y
    model.fit(data.X, labels, tasks=data.tasks, sample_weight=data.weight)
    objective, weights = solved(model, data)
    assert model.objective_ == pytest.approx(objective, rel=1e-6)
    if case in UNIQUE:
        np.testing.assert_allclose(model.coef_, weights, atol=1e-3)


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", REGRESSORS)
def test_regression(name, case):
    compare(CONVEX[name](**EXACT), HARD[case], case)


@pytest.mark.parametrize("case", ["plain", "wide", "weights"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classification(name, case):
    compare(CONVEX[name](**EXACT), HARD[case], case)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regression_at_other_strengths_and_without_intercept(name):
    """Strengths apart from one another, so that none stands in for another."""
    cls = CONVEX[name]
    data = make([9, 7, 1, 12], 5, 70)
    strengths = {key: getattr(cls(), key) * factor for key, factor in zip(cls.strengths, FACTORS, strict=False)}
    compare(cls(**strengths, fit_intercept=False, loss_scaling="mean", **EXACT), data, "other")


def kernel_matrix(model, data: Data) -> np.ndarray:
    codes = np.unique(data.tasks, return_inverse=True)[1]
    distances = np.square(data.X[:, None] - data.X[None]).sum(axis=2)
    return (1 / model.mu + (codes[:, None] == codes)) * np.exp(-model.gamma * distances)


@pytest.mark.parametrize("case", ["plain", "single_rows", "wide", "weights"])
def test_kernel_ridge(case):
    data = HARD[case]
    model = linear.KernelTasks(0.7, gamma=0.2, mu=0.5).fit(data.X, data.y, data.tasks, sample_weight=data.weight)
    codes = np.unique(data.tasks, return_inverse=True)[1]
    root = np.linalg.cholesky(kernel_matrix(model, data) + 1e-12 * np.eye(len(codes)))
    dual, levels = cp.Variable(len(codes)), cp.Variable(codes.max() + 1)  # f = root dual
    weight = np.ones(len(codes)) if data.weight is None else data.weight
    errors = cp.multiply(np.sqrt(weight), data.y - root @ dual - levels[codes])
    cp.Problem(cp.Minimize(0.5 * cp.sum_squares(errors) + 0.35 * cp.sum_squares(dual))).solve(cp.CLARABEL)
    answer = root @ dual.value + levels.value[codes]
    np.testing.assert_allclose(model.predict(data.X, data.tasks), answer, atol=1e-5)


@pytest.mark.parametrize("case", ["plain", "wide", "weights"])
def test_support_vector_machine(case):
    data = HARD[case]
    model = linear.KernelTasksClassifier(2.0, gamma=0.2, mu=0.5)
    model.fit(data.X, data.signs, data.tasks, sample_weight=data.weight)
    root = np.linalg.cholesky(kernel_matrix(model, data) + 1e-12 * np.eye(len(data.y)))
    dual, offset = cp.Variable(len(data.y)), cp.Variable()
    weight = np.ones(len(data.y)) if data.weight is None else data.weight
    signs = np.where(data.signs == "yes", 1.0, -1.0)
    hinge = cp.pos(1 - cp.multiply(signs, root @ dual + offset))
    best = cp.Problem(cp.Minimize(2.0 * (weight @ hinge) + 0.5 * cp.sum_squares(dual)))
    best.solve(cp.CLARABEL)
    margin = model.decision_function(data.X, data.tasks)
    found = np.linalg.solve(root, margin - model.intercept_)
    value = 2.0 * weight @ np.maximum(0, 1 - signs * margin) + 0.5 * found @ found
    assert value == pytest.approx(best.value, rel=1e-4)  # libsvm stops at a violation of 1e-5
