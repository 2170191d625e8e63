"""Kernel methods and trees against scikit-learn, the linear estimators, and one another."""

from __future__ import annotations

import numpy as np
import pytest
from linear_problems import make
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from polytask import linear

DATA = make([20, 15, 25], 4, 50)


@pytest.mark.parametrize("intercept", [True, False])
def test_kernel_ridge_with_the_linear_kernel_is_mean_regularisation(intercept):
    strength, mu, T = 0.7, 0.3, 3
    kernel = linear.KernelTasks(strength, "linear", mu=mu, fit_intercept=intercept)
    kernel.fit(DATA.X, DATA.y, DATA.tasks)
    linked, ridge = strength * T / (2 * (T + mu)), strength * mu / (2 * (T + mu))
    direct = linear.MeanRegularized(linked, ridge, fit_intercept=intercept).fit(DATA.X, DATA.y, DATA.tasks)
    np.testing.assert_allclose(kernel.predict(DATA.X, DATA.tasks), direct.predict(DATA.X, DATA.tasks), atol=1e-8)
    np.testing.assert_allclose(kernel.intercept_, direct.intercept_, atol=1e-8)


def test_kernel_ridge_of_independent_tasks_is_kernel_ridge():
    model = linear.KernelTasks(0.5, "rbf", 0.2, np.eye(3), fit_intercept=False).fit(DATA.X, DATA.y, DATA.tasks)
    for task in model.tasks_:
        rows = DATA.tasks == task
        alone = KernelRidge(alpha=0.5, kernel="rbf", gamma=0.2).fit(DATA.X[rows], DATA.y[rows])
        answer = model.predict(DATA.X[rows], DATA.tasks[rows])
        np.testing.assert_allclose(answer, alone.predict(DATA.X[rows]), atol=1e-10)


def test_the_support_vector_machine_of_one_task_is_svc():
    one = linear.KernelTasksClassifier(2.0, "rbf", 0.3, np.eye(1)).fit(DATA.X, DATA.signs)
    theirs = SVC(C=2.0, gamma=0.3, tol=1e-5).fit(DATA.X, DATA.signs)
    np.testing.assert_allclose(one.decision_function(DATA.X), theirs.decision_function(DATA.X), atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "magic"}, "kernel: expected one of"),
        ({"mu": 0.0}, "task_kernel: expected 'mean'"),
        ({"task_kernel": np.eye(2)}, r"task_kernel: expected a finite matrix \(3, 3\)"),
        ({"task_kernel": -np.eye(3)}, "positive semidefinite"),
        ({"strength": 0.0}, "strength: expected a positive"),
        ({"gamma": -1.0}, "gamma: expected a positive"),
    ],
)
def test_bad_kernel_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear.KernelTasks(**arguments).fit(DATA.X, DATA.y, DATA.tasks)


def test_unseen_task_gets_the_shared_function():
    model = linear.KernelTasks(0.1, "linear", mu=0.1, unseen="warn", fit_intercept=False)
    model.fit(DATA.X, DATA.y, DATA.tasks)
    every = np.mean([model.predict(DATA.X, np.full(60, t)) for t in model.tasks_], axis=0)
    with pytest.warns(UserWarning, match="shared part"):
        shared = model.predict(DATA.X, np.full(60, "new"))
    T, mu = 3, 0.1  # w0 = T / (T + mu) mean w
    np.testing.assert_allclose(shared, T / (T + mu) * every, atol=1e-8)


def grid(n: int, d: int, seed: int) -> np.ndarray:
    """Features with few distinct values, so that bins are exact."""
    return np.random.default_rng(seed).integers(0, 30, size=(n, d)).astype(float)


@pytest.mark.parametrize("pooling", [0.0, 5.0])
def test_one_task_is_gradient_boosting(pooling):
    X = grid(200, 3, 0)
    y = np.sin(X[:, 0] / 5) + 0.1 * X[:, 1] + 0.2 * np.random.default_rng(1).normal(size=200)
    ours = linear.TaskTrees(30, 0.2, depth=3, least_rows=5, pooling=pooling).fit(X, y)
    theirs = GradientBoostingRegressor(
        n_estimators=30, learning_rate=0.2, max_depth=3, min_samples_leaf=5, random_state=0
    )
    np.testing.assert_allclose(ours.predict(X), theirs.fit(X, y).predict(X), atol=1e-9)


def test_one_tree_for_columns_is_a_multi_output_tree():
    X = grid(150, 3, 2)
    Y = np.stack([np.sin(X[:, 0] / 5), np.cos(X[:, 0] / 5), X[:, 1] > 10], axis=1) + 0.1 * np.random.default_rng(
        3
    ).normal(size=(150, 3))
    ours = linear.TaskTrees(1, 1.0, depth=4, least_rows=1, pooling=0.0).fit(X, Y)
    theirs = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, Y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-9)


def test_a_column_twice_changes_nothing():
    X = grid(120, 3, 4)
    y = X[:, 0] + np.random.default_rng(5).normal(size=120)
    once = linear.TaskTrees(20, pooling=0.0, least_rows=1).fit(X, y).predict(X)
    twice = linear.TaskTrees(20, pooling=0.0, least_rows=2).fit(X, np.column_stack([y, y])).predict(X)
    np.testing.assert_allclose(twice, np.column_stack([once, once]), atol=1e-9)


def test_classification_of_one_task_is_close_to_gradient_boosting():
    X = grid(300, 3, 6)
    y = (X[:, 0] + 3 * np.random.default_rng(7).normal(size=300) > 15).astype(int)
    ours = linear.TaskTreesClassifier(30, pooling=0.0, ridge=0.0).fit(X, y)
    theirs = GradientBoostingClassifier(n_estimators=30, min_samples_leaf=10, random_state=0).fit(X, y)
    gap = np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).mean()
    assert gap < 0.03  # not zero: their splits ignore the curvature
    assert abs(ours.score(X, y) - theirs.score(X, y)) < 0.02


def test_much_pooling_is_one_model_and_none_is_a_vector_leaf():
    rng = np.random.default_rng(8)
    X, tasks = grid(200, 2, 9), np.repeat([0, 1], 100)
    y = np.where(tasks == 0, X[:, 0], -X[:, 0]) + 0.1 * rng.normal(size=200)  # opposite tasks
    apart = linear.TaskTrees(50, pooling=0.0).fit(X, y, tasks)
    pooled = linear.TaskTrees(50, pooling=1e12).fit(X, y, tasks)
    assert apart.score(X, y, tasks=tasks) > 0.95
    assert pooled.score(X, y, tasks=tasks) < 0.3
    np.testing.assert_allclose(pooled.predict(X, tasks), pooled.predict(X, 1 - tasks), atol=1e-6)


def test_missing_labels_take_no_part_in_trees():
    X = grid(100, 2, 10)
    Y = np.column_stack([X[:, 0], X[:, 1]]) + np.random.default_rng(11).normal(size=(100, 2))
    Y[::3, 1] = np.nan
    known = ~np.isnan(Y)
    columns = linear.TaskTrees(20).fit(X, Y)
    rows = np.concatenate([X[k] for k in known.T])
    labels = np.concatenate([Y[k, t] for t, k in enumerate(known.T)])
    stacked = linear.TaskTrees(20).fit(rows, labels, np.repeat([0, 1], known.sum(axis=0)))
    np.testing.assert_allclose(columns.predict(X)[:, 1], stacked.predict(X, np.ones(100, dtype=int)), atol=1e-10)


@pytest.mark.parametrize(
    "arguments", [{"rounds": 0}, {"depth": 1.5}, {"bins": 500}, {"pooling": -1.0}, {"least_rows": 0}]
)
def test_bad_tree_arguments(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: expected"):
        linear.TaskTrees(**arguments).fit(DATA.X, DATA.y, DATA.tasks)


def test_features_with_few_and_many_values_are_gradient_boosting():
    rng = np.random.default_rng(12)
    X = np.column_stack([rng.integers(0, size, 200) for size in (30, 2, 1, 5, 40, 2)]).astype(float)
    y = np.sin(X[:, 0] / 5) + X[:, 1] * X[:, 4] / 20 - 0.3 * X[:, 3] + 0.2 * rng.normal(size=200)
    ours = linear.TaskTrees(30, 0.2, depth=3, least_rows=5, pooling=0.0).fit(X, y)
    theirs = GradientBoostingRegressor(
        n_estimators=30, learning_rate=0.2, max_depth=3, min_samples_leaf=5, random_state=0
    )
    np.testing.assert_allclose(ours.predict(X), theirs.fit(X, y).predict(X), atol=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_columns_are_stacked_rows_to_kernels(kernel):
    Y = np.column_stack([DATA.y, DATA.X[:, 0] - DATA.y, DATA.X[:, 1]])
    tasks = np.repeat([0, 1, 2], len(DATA.y))
    X = np.tile(DATA.X, (3, 1))
    columns = linear.KernelTasks(0.5, kernel).fit(DATA.X, Y).predict(DATA.X)
    stacked = linear.KernelTasks(0.5, kernel).fit(X, Y.T.ravel(), tasks).predict(X, tasks)
    np.testing.assert_allclose(columns.T.ravel(), stacked, atol=1e-10)
    machine = linear.KernelTasksClassifier(1.0, kernel)
    labels = np.median(Y, axis=0) < Y
    columns = machine.fit(DATA.X, labels.astype(int)).decision_function(DATA.X)
    stacked = machine.fit(X, labels.T.ravel().astype(int), tasks).decision_function(X, tasks)
    np.testing.assert_allclose(columns.T.ravel(), stacked, atol=1e-8)
