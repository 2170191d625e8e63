"""Every estimator is at the optimum of hard problems, and theory's special cases hold."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from linear_problems import HARD, Data, make, slope
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, MultiTaskLasso, Ridge

from polytask import linear
from polytask.linear.base import LinearTasks
from polytask.linear.penalties import Nothing
from polytask.linear.total_variation import total_variation

EXACT = {"tol": 1e-9, "max_iter": 300_000}
CONVEX = {name: cls for name, cls in linear.ESTIMATORS.items() if issubclass(cls, LinearTasks)}
REGRESSORS = {name: cls for name, cls in CONVEX.items() if not cls.logistic}


def fitted(estimator, data: Data):
    labels = data.signs if estimator.logistic else data.y
    return estimator.fit(data.X, labels, tasks=data.tasks, sample_weight=data.weight)


def optimality(model, data: Data) -> float:
    """The proximal fixed point, block by block, with the loss written out task by task: zero at the optimum."""
    loss = slope(model, data)
    size = data.X.shape[1]
    regulariser = model.regulariser(model.tasks_, size)
    grad = loss[:, :size] + 2 * regulariser.coupling.apply(model.coef_)
    worst = np.abs(loss[:, size]).max() if model.fit_intercept else 0.0
    for block, penalty in zip(model.blocks_, regulariser.blocks or (Nothing(),), strict=True):
        worst = max(worst, np.abs(block - penalty.prox(block - grad, 1.0)).max())
    return worst


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", CONVEX)
def test_optimality_conditions(name, case):
    data = HARD[case]
    single = "single_rows" in case and CONVEX[name].logistic
    model = fitted(CONVEX[name](**EXACT, fit_intercept=not single), data)
    assert model.residual_ <= 1e-9
    assert optimality(model, data) <= 1e-8 * max(1.0, np.abs(data.X.T @ data.y).max())
    assert np.all(np.isfinite(model.coef_))


@pytest.mark.parametrize("name", CONVEX)
def test_the_check_of_optimality_bites(name):
    data = HARD["plain"]
    model = fitted(CONVEX[name](**EXACT), data)
    model.coef_ = model.coef_ + 1e-3
    model.blocks_ = model.blocks_ + 1e-3 / len(model.blocks_)
    assert optimality(model, data) > 1e-6


@pytest.mark.parametrize("name", CONVEX)
def test_order_of_rows_tasks_and_features_does_not_matter(name):
    data = make([12, 9, 20], 4, 7)
    labels = data.signs if CONVEX[name].logistic else data.y
    order = np.random.default_rng(1).permutation(len(data.y))
    features = np.array([2, 0, 3, 1])
    one = CONVEX[name](**EXACT).fit(data.X, labels, data.tasks)
    other = CONVEX[name](**EXACT).fit(data.X[order][:, features], labels[order], data.tasks[order])
    np.testing.assert_allclose(other.coef_, one.coef_[:, features], atol=1e-6)
    if "temporal" not in name and "graph" not in name:  # these know the order of the tasks
        renamed = np.array([{"t0": "b", "t1": "c", "t2": "a"}[t] for t in data.tasks])
        other = CONVEX[name](**EXACT).fit(data.X, labels, renamed)
        np.testing.assert_allclose(other.coef_[[1, 2, 0]], one.coef_, atol=1e-6)


@pytest.mark.parametrize("name", CONVEX)
def test_objective_is_what_the_docstring_says(name):
    data = make([12, 9, 20], 4, 8)
    model = fitted(CONVEX[name](**EXACT), data)
    parts = model.regulariser(model.tasks_, 4)
    total = parts.coupling.value(model.coef_)
    total += sum(penalty.value(block) for penalty, block in zip(parts.blocks, model.blocks_, strict=bool(parts.blocks)))
    for t, task in enumerate(model.tasks_):
        rows = data.tasks == task
        value = data.X[rows] @ model.coef_[t] + model.intercept_[t]
        if model.logistic:
            signs = np.where(data.signs[rows] == "yes", 1, -1)
            total += np.mean(np.log1p(np.exp(-signs * value)))
        else:
            total += 0.5 * np.sum((data.y[rows] - value) ** 2)
    assert model.objective_ == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("name", REGRESSORS)
def test_weak_strengths_are_least_squares_per_task(name):
    data = make([25, 30, 28], 4, 9)
    cls = REGRESSORS[name]
    weak = {key: 1e-9 * getattr(cls(), key) for key in cls.strengths}
    if name == "sparse_low_rank":
        weak["radius"] = 0.0
    model = fitted(cls(**weak, **EXACT), data)
    for t, task in enumerate(model.tasks_):
        rows = data.tasks == task
        alone = LinearRegression().fit(data.X[rows], data.y[rows])
        np.testing.assert_allclose(model.coef_[t], alone.coef_, atol=1e-6)
        assert model.intercept_[t] == pytest.approx(alone.intercept_, abs=1e-6)


@pytest.mark.parametrize("tasks", [2, 7])
def test_mean_regularized_limits(tasks):
    data = make([20] * tasks, 4, 10)
    codes = np.unique(data.tasks, return_inverse=True)[1]
    centred = data.X - np.stack([data.X[codes == t].mean(0) for t in range(tasks)])[codes]
    labels = data.y - np.array([data.y[codes == t].mean() for t in range(tasks)])[codes]
    pooled = Ridge(2 * 0.3 * tasks, fit_intercept=False).fit(centred, labels)
    model = fitted(linear.MeanRegularized(1e8, 0.3, tol=1e-7), data)
    np.testing.assert_allclose(model.coef_, np.tile(pooled.coef_, (tasks, 1)), atol=1e-5)
    model = fitted(linear.MeanRegularized(0.0, 0.3, **EXACT), data)
    for t in range(tasks):
        alone = Ridge(2 * 0.3).fit(data.X[codes == t], data.y[codes == t])
        np.testing.assert_allclose(model.coef_[t], alone.coef_, atol=1e-8)


def test_mean_regularized_classifier_without_coupling_is_logistic_regression():
    data = make([30, 40], 3, 11)
    model = fitted(linear.MeanRegularizedClassifier(0.0, 0.05, loss_scaling="sum", **EXACT), data)
    for t, task in enumerate(model.tasks_):
        rows = data.tasks == task
        alone = LogisticRegression(C=1 / (2 * 0.05), tol=1e-10, max_iter=1000).fit(data.X[rows], data.signs[rows])
        np.testing.assert_allclose(model.coef_[t], alone.coef_[0], atol=1e-5)
        np.testing.assert_allclose(
            model.predict_proba(data.X[rows], data.tasks[rows]), alone.predict_proba(data.X[rows]), atol=1e-5
        )


def test_a_graph_of_all_pairs_is_mean_regularisation():
    data = make([9, 12, 10, 8], 3, 12)
    full = np.ones((4, 4)) - np.eye(4)
    graph = fitted(linear.GraphTasks(0.5, full, 0.2, **EXACT), data)
    mean = fitted(linear.MeanRegularized(0.5 * 4, 0.2, **EXACT), data)  # sum over pairs = T sum to the mean
    np.testing.assert_allclose(graph.coef_, mean.coef_, atol=1e-7)


@pytest.mark.parametrize("shape", [(60, 8, 5), (30, 80, 4), (200, 20, 10)])
@pytest.mark.parametrize("strength", [0.5, 0.05])
def test_joint_feature_with_one_x_is_multi_task_lasso(shape, strength):
    n, d, tasks = shape
    rng = np.random.default_rng(13)
    X = rng.normal(size=(n, d)) + 1
    Y = X[:, :3] @ rng.normal(size=(3, tasks)) + 0.3 * rng.normal(size=(n, tasks))
    ours = linear.JointFeature(strength, loss_scaling="mean", tol=1e-9).fit(X, Y)
    theirs = MultiTaskLasso(alpha=strength, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


def test_clusters_and_alternating_structure_have_one_optimum():
    data = make([9, 12, 10, 8, 7], 4, 14)
    for rank in (1, 2, 4):
        tasks = fitted(linear.ClusteredTasks(0.7, 0.3, rank, **EXACT), data)
        features = fitted(linear.AlternatingStructure(0.7, 0.3, rank, **EXACT), data)
        np.testing.assert_allclose(tasks.coef_, features.coef_, atol=1e-8)
        M = features.shared_subspace_
        np.testing.assert_allclose(M @ M.T, np.eye(rank), atol=1e-10)
        assert np.trace(tasks.task_covariance_) == pytest.approx(rank)


def test_the_inner_matrix_is_the_best():
    """No other feasible M has a smaller trace, so eliminating M was right."""
    data = make([9, 12, 10, 8, 7], 6, 15)
    model = fitted(linear.ClusteredTasks(1.0, 0.4, 2, **EXACT), data)
    eta, W = 0.4, model.coef_

    def penalty(M):
        return np.trace(W.T @ np.linalg.solve(eta * np.eye(5) + M, W))

    rng = np.random.default_rng(0)
    best = penalty(model.task_covariance_)
    for _ in range(200):
        Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        m = rng.dirichlet(np.ones(5)) * 2
        if m.max() <= 1:
            mixed = 0.9 * model.task_covariance_ + 0.1 * (Q * m) @ Q.T
            assert penalty(mixed) >= best - 1e-10


def test_clusters_are_found():
    rng = np.random.default_rng(16)
    centres = 3 * rng.normal(size=(2, 6))
    group = np.array([0, 1, 0, 1, 1, 0])
    X = [rng.normal(size=(30, 6)) for _ in group]
    y = [x @ (centres[g] + 0.1 * rng.normal(size=6)) for x, g in zip(X, group, strict=True)]
    found = linear.ClusteredTasks(10.0, 1.0, 2).fit(X, y).task_groups_
    assert len(set(found[group == 0])) == len(set(found[group == 1])) == 1
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["trace_norm", "feature_learning", "clustered_tasks", "mean_regularized"])
def test_rotation_of_the_features_does_not_matter(name):
    data = make([12, 9, 20], 4, 17)
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    straight = fitted(CONVEX[name](**EXACT), data)
    turned = fitted(CONVEX[name](**EXACT), Data(data.X @ Q, data.y, data.tasks))
    np.testing.assert_allclose(turned.coef_, straight.coef_ @ Q, atol=1e-7)


def test_rotation_matters_to_joint_features():
    data = make([12, 9, 20], 4, 17)
    Q = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    straight = fitted(linear.JointFeature(5.0, **EXACT), data)
    turned = fitted(linear.JointFeature(5.0, **EXACT), Data(data.X @ Q, data.y, data.tasks))
    assert np.abs(turned.coef_ - straight.coef_ @ Q).max() > 1e-2


def test_one_task_is_the_lasso_or_a_norm():
    data = make([40], 5, 18)
    lasso = Lasso(alpha=3.0 / 40, tol=1e-12, max_iter=100_000).fit(data.X, data.y)
    for model in (
        linear.JointFeature(3.0, **EXACT),
        linear.Dirty(99.0, 3.0, **EXACT),
        linear.SparseLowRank(3.0, 0.0, **EXACT),
    ):
        np.testing.assert_allclose(fitted(model, data).coef_[0], lasso.coef_, atol=1e-6)
    w = fitted(linear.TraceNorm(3.0, **EXACT), data).coef_[0]
    X, y = data.X - data.X.mean(0), data.y - data.y.mean()
    np.testing.assert_allclose(X.T @ (X @ w - y) + 3.0 * w / np.linalg.norm(w), 0, atol=1e-6)


def test_feature_learning_is_the_trace_norm_at_another_strength():
    data = make([12, 9, 20], 4, 19)
    one = fitted(linear.FeatureLearning(0.8, **EXACT), data)
    size = np.linalg.svd(one.coef_, compute_uv=False).sum()
    other = fitted(linear.TraceNorm(2 * 0.8 * size, **EXACT), data)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-7)


@pytest.mark.parametrize("name", REGRESSORS)
def test_scale_of_the_labels(name):
    """tol has no units, so labels of 1e-8 and 1e8 are solved as well as labels of one."""
    data = make([12, 9, 20], 4, 20)
    for scale in (1e-8, 1e8):
        moved = Data(data.X, scale * data.y, data.tasks)
        model = fitted(REGRESSORS[name](tol=1e-7, max_iter=300_000), moved)
        assert model.residual_ <= 1e-7


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("name", ["joint_feature", "trace_norm", "dirty", "robust", "robust_feature"])
def test_norms_scale_with_the_labels(name, scale):
    data = make([12, 9, 20], 4, 20)
    cls = REGRESSORS[name]
    moved = cls(**{key: scale * getattr(cls(), key) for key in cls.strengths}, **EXACT)
    fitted(moved, Data(data.X, scale * data.y, data.tasks))
    np.testing.assert_allclose(moved.coef_ / scale, fitted(cls(**EXACT), data).coef_, atol=1e-6)


def test_mean_scaling_divides_each_task_by_its_rows():
    data = make([20, 20, 20], 4, 21)
    total = fitted(linear.TraceNorm(4.0, **EXACT), data)
    mean = fitted(linear.TraceNorm(4.0 / 20, loss_scaling="mean", **EXACT), data)
    np.testing.assert_allclose(mean.coef_, total.coef_, atol=1e-7)


def test_not_converged_is_told_with_the_residual():
    data = make([12, 9, 20], 4, 22)
    with pytest.warns(ConvergenceWarning, match="residual .*tol 1.00e-09.*max_iter"):
        model = linear.TraceNorm(tol=1e-9, max_iter=2).fit(data.X, data.y, data.tasks)
    assert model.residual_ > 1e-9


def test_total_variation_against_brute_force():
    rng = np.random.default_rng(3)
    for length in (1, 2, 3, 6, 11):
        V = rng.normal(size=(20, length)).round(1)  # rounded: ties on purpose
        for t in (0.0, 0.1, 0.7, 5.0):
            W = total_variation(V, t)
            for v, w in zip(V, W, strict=True):
                # the dual: w = v - D'u with |u| <= t, an independent bounded least-squares problem
                D = np.diff(np.eye(length), axis=0)
                if length == 1:
                    np.testing.assert_allclose(w, v)
                    continue
                dual = minimize(
                    lambda u, v=v, D=D: 0.5 * np.sum((v - D.T @ u) ** 2), np.zeros(length - 1),
                    jac=lambda u, v=v, D=D: -D @ (v - D.T @ u), bounds=[(-t, t)] * (length - 1), tol=1e-14,
                )  # fmt: skip
                np.testing.assert_allclose(w, v - D.T @ dual.x, atol=1e-5)


def test_no_warning_at_the_defaults():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cls in CONVEX.values():
            fitted(cls(), HARD["plain"])
