"""scikit-learn's checks, metadata routing, and what scikit-learn's tools do with tasks."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from linear_problems import make
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from polytask import linear
from polytask.linear.base import LinearTasks

WEIGHTS = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    "strength_cv": dict.fromkeys(WEIGHTS, "a row of weight two is in one fold, a repeated row may be in two"),
    "kernel_tasks_classifier": dict.fromkeys(WEIGHTS, "SVC, which scikit-learn itself excuses: libsvm stops early"),
    "task_trees": dict.fromkeys(WEIGHTS, "least_rows and the quantiles of the bins count rows, not weights"),
    "task_trees_classifier": dict.fromkeys(WEIGHTS, "least_rows and the quantiles of the bins count rows, not weights"),
}
"""Estimator -> check -> reason."""

ALL = {**linear.ESTIMATORS, "strength_cv": linear.StrengthCV}
LIGHT = {
    "task_gaussian_process": {"ard": False},
    "task_trees": {"rounds": 10},
    "task_trees_classifier": {"rounds": 10},
    "strength_cv": {"grid": [1.0, 0.1]},
}
"""Arguments that make the many small fits of scikit-learn's checks quick."""
CONVEX = {name: cls for name, cls in linear.ESTIMATORS.items() if issubclass(cls, LinearTasks)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_check_estimator(name):
    reasons = EXPECTED_FAILURES.get(name, {})
    ran = 0
    for estimator, check in estimator_checks_generator(
        ALL[name](**LIGHT.get(name, {})), legacy=True, expected_failed_checks=reasons, mark="skip"
    ):
        try:
            check(estimator)
        except Exception as error:
            if type(error).__name__ != "SkipTest":
                raise AssertionError(f"{check}: {error}") from error
        ran += 1
    assert ran > 40


def test_pytorch_stays_out():
    code = "import sys, polytask.linear; print(sorted(m for m in sys.modules if m.split('.')[0] == 'torch'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_estimator_is_exported():
    assert {cls.__name__ for cls in linear.ESTIMATORS.values()} <= set(linear.__all__)
    assert all(hasattr(linear, name) for name in linear.__all__)


def test_excuses_are_needed():
    """A check that passes needs no excuse."""
    for name, reasons in EXPECTED_FAILURES.items():
        for estimator, check in estimator_checks_generator(ALL[name]()):
            if check.func.__name__ in reasons and "strength" not in name:
                with pytest.raises(AssertionError):
                    check(estimator)


@pytest.mark.parametrize("name", CONVEX)
def test_tasks_go_through_pipelines_and_searches(name):
    data = make([20, 25, 30], 4, 30)
    cls = CONVEX[name]
    labels = data.signs if cls.logistic else data.y
    argument = cls.strengths[0]
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), cls(tol=1e-4))
        pipe.fit(data.X, labels, tasks=data.tasks)
        alone = cls(tol=1e-4).fit(StandardScaler().fit_transform(data.X), labels, data.tasks)
        np.testing.assert_allclose(pipe[-1].coef_, alone.coef_)
        step = f"{type(pipe[-1]).__name__.lower()}__{argument}"
        search = GridSearchCV(pipe, {step: [0.01, 0.1]}, cv=linear.TaskKFold(3))
        search.fit(data.X, labels, tasks=data.tasks)
        best = search.best_estimator_  # GridSearchCV.predict itself passes no metadata on
        assert best.predict(data.X, tasks=data.tasks).shape == labels.shape
        scores = cross_val_score(pipe, data.X, labels, params={"tasks": data.tasks}, cv=linear.TaskKFold(3))
        assert np.all(np.isfinite(scores))


def test_whole_tasks_left_out_need_the_shared_part():
    data = make([20] * 12, 4, 31)
    with config_context(enable_metadata_routing=True):
        model = linear.MeanRegularized(unseen="warn")
        with pytest.warns(UserWarning, match="was not seen in fit"):
            scores = cross_val_score(
                model, data.X, data.y, params={"tasks": data.tasks, "groups": data.tasks}, cv=GroupKFold(4)
            )
    assert scores.min() > 0.5  # tasks share most of their weights


@pytest.mark.parametrize("name", CONVEX)
def test_fitting_is_deterministic_and_survives_pickling(name):
    data = make([10, 8, 12], 3, 32)
    labels = data.signs if CONVEX[name].logistic else data.y
    one = CONVEX[name]().fit(data.X, labels, data.tasks)
    two = clone(one).fit(data.X, labels, data.tasks)
    assert np.array_equal(one.coef_, two.coef_)
    back = pickle.loads(pickle.dumps(one))
    assert np.array_equal(back.predict(data.X, data.tasks), one.predict(data.X, data.tasks))


@pytest.mark.parametrize("name", CONVEX)
def test_forms_of_input_agree(name):
    """Stacked rows, lists, sparse, float32, one X with columns, and columns with missing labels."""
    rng = np.random.default_rng(33)
    n, d, T = 24, 4, 3
    X = np.where(rng.random((n, d)) < 0.4, 0.0, rng.normal(size=(n, d))).astype(np.float32).astype(float)
    Y = X @ rng.normal(size=(d, T)) + 0.5 * rng.normal(size=(n, T)) + 1
    cls = CONVEX[name]
    if cls.logistic:
        Y = (np.median(Y, axis=0) < Y).astype(float)
    options = {"tol": 1e-9, "max_iter": 100_000}
    tasks = np.repeat(np.arange(T), n)
    stacked = cls(**options).fit(np.tile(X, (T, 1)), Y.T.ravel(), tasks)
    columns = cls(**options).fit(X, Y)
    lists = cls(**options).fit([X] * T, list(Y.T))
    sparse = cls(**options).fit(sp.csr_matrix(np.tile(X, (T, 1))), Y.T.ravel(), tasks)
    sparse_columns = cls(**options).fit(sp.csc_array(X), Y)
    single = cls(**options).fit(X.astype(np.float32), Y)
    for other in (columns, lists, sparse, sparse_columns, single):
        np.testing.assert_allclose(other.coef_, stacked.coef_, atol=1e-6)
        np.testing.assert_allclose(other.intercept_, stacked.intercept_, atol=1e-6)
    answer = columns.predict(X)
    assert answer.shape == (n, T)
    np.testing.assert_allclose(np.stack(lists.predict([X] * T), axis=1), answer, atol=1e-6)
    np.testing.assert_allclose(stacked.predict(np.tile(X, (T, 1)), tasks).reshape(T, n).T, answer, atol=1e-6)
    assert columns.score(X, Y) == pytest.approx(sparse_columns.score(sp.csr_array(X), Y), abs=1e-6)

    missing = Y.copy()
    missing[rng.random(Y.shape) < 0.3] = np.nan
    known = ~np.isnan(missing)
    holes = cls(**options).fit(X, missing)
    rows = np.concatenate([X[k] for k in known.T])
    labels = np.concatenate([missing[k, t] for t, k in enumerate(known.T)])
    same = cls(**options).fit(rows, labels, np.repeat(np.arange(T), known.sum(axis=0)))
    sparse_holes = cls(**options).fit(sp.csr_array(X), missing)
    np.testing.assert_allclose(holes.coef_, same.coef_, atol=1e-6)
    np.testing.assert_allclose(sparse_holes.coef_, same.coef_, atol=1e-6)


@pytest.mark.parametrize("name", CONVEX)
def test_whole_weights_are_repeated_rows(name):
    data = make([10, 8, 12], 3, 34)
    labels = data.signs if CONVEX[name].logistic else data.y
    weight = np.random.default_rng(5).integers(1, 4, size=len(labels))
    again = np.repeat(np.arange(len(labels)), weight)
    options = {"tol": 1e-9, "max_iter": 100_000}
    weighted = CONVEX[name](**options).fit(data.X, labels, data.tasks, sample_weight=weight)
    repeated = CONVEX[name](**options).fit(data.X[again], labels[again], data.tasks[again])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-6)


def test_unseen_tasks():
    data = make([10, 8, 12], 3, 35)
    strict = linear.MeanRegularized().fit(data.X, data.y, data.tasks)
    with pytest.raises(ValueError, match="'new' was not seen in fit"):
        strict.predict(data.X[:2], ["t0", "new"])
    lenient = linear.MeanRegularized(unseen="warn").fit(data.X, data.y, data.tasks)
    with pytest.warns(UserWarning, match="shared part answers for 1 rows"):
        answer = lenient.predict(data.X[:2], ["t0", "new"])
    expected = data.X[1] @ lenient.coef_.mean(axis=0) + lenient.intercept_.mean()
    assert answer[1] == pytest.approx(expected)
    assert answer[0] == pytest.approx(strict.predict(data.X[:1], ["t0"])[0])


def test_folds_lie_inside_tasks():
    tasks = np.repeat(["a", "b", "c"], [20, 7, 1])
    folds = list(linear.TaskKFold(5).split(np.zeros((28, 1)), tasks=tasks))
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(27))  # the single row of task c is always in training
    for train, test in folds:
        assert not set(train) & set(test)
        assert set(tasks[train]) == {"a", "b", "c"}
        assert 5 <= len(test) <= 6


def test_path_is_every_single_fit():
    data = make([20, 25, 30], 6, 36)
    for cls in (linear.JointFeature, linear.TraceNorm, linear.Dirty, linear.TraceNormClassifier):
        labels = data.signs if cls.logistic else data.y
        path = cls(tol=1e-9).path(data.X, labels, data.tasks, steps=6)
        assert np.abs(path.coefs[0]).max() < 1e-8
        base = cls(tol=1e-9)
        for factor, coef, level in zip(path.factors, path.coefs, path.intercepts, strict=True):
            strengths = {name: factor * getattr(base, name) for name in base.strengths}
            alone = clone(base).set_params(**strengths).fit(data.X, labels, data.tasks)
            np.testing.assert_allclose(coef, alone.coef_, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(level, alone.intercept_, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="Pass factors"):
        linear.MeanRegularized().path(data.X, data.y, data.tasks)
    assert linear.MeanRegularized().path(data.X, data.y, data.tasks, factors=[1, 10]).factors.tolist() == [10, 1]


@pytest.mark.slow
def test_folds_in_processes_are_folds_in_turn():
    data = make([30, 25, 30], 6, 38)
    runs = [linear.StrengthCV(linear.TraceNorm(), [1.0, 0.1], n_jobs=n).fit(data.X, data.y, data.tasks) for n in (1, 2)]
    np.testing.assert_allclose(runs[0].errors_, runs[1].errors_)


def test_strength_search_finds_what_a_loop_finds():
    data = make([30, 25, 30], 6, 37)
    grid = [0.1, 1.0, 10.0, 100.0]
    search = linear.StrengthCV(linear.TraceNorm(tol=1e-8), {"strength": grid}, folds=4).fit(data.X, data.y, data.tasks)
    errors = []
    for strength in grid:
        total = 0.0
        for train, test in linear.TaskKFold(4).split(data.X, tasks=data.tasks):
            model = linear.TraceNorm(strength, tol=1e-8).fit(data.X[train], data.y[train], data.tasks[train])
            total += np.sum((data.y[test] - model.predict(data.X[test], data.tasks[test])) ** 2)
        errors.append(total)
    np.testing.assert_allclose(search.errors_.sum(axis=1), errors, rtol=1e-5)
    assert search.best_params_["strength"] == grid[int(np.argmin(errors))]
    both = linear.StrengthCV(linear.Dirty(), {"shared": [1, 2], "own": [1, 2]}, folds=3)
    assert both.fit(data.X, data.y, data.tasks).errors_.shape == (4, 3)
    default = linear.StrengthCV(linear.JointFeatureClassifier(), folds=3).fit(data.X, data.signs, data.tasks)
    assert default.predict_proba(data.X, data.tasks).shape == (85, 2)
    one_x = linear.StrengthCV(linear.JointFeature(), folds=3).fit(data.X, np.column_stack([data.y, -data.y]))
    assert one_x.coef_.shape == (2, 6)


def test_the_page_of_the_documents_runs():
    page = (Path(__file__).parents[2] / "docs" / "linear.md").read_text("utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert names["path"].coefs.shape == (20, 3, 8)
    assert len(names["scores"]) == 5
    for cls in linear.ESTIMATORS.values():
        assert cls.__name__.removesuffix("Classifier") in page
