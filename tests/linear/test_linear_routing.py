"""Which of scikit-learn's tools pass the tasks on, and what to do about those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from linear_problems import make
from sklearn import config_context
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polytask import linear

DATA = make([30, 25, 35], 4, 90)
FOLDS = linear.TaskKFold(3)
ESTIMATORS = [
    linear.MeanRegularized(), linear.KernelTasks(), linear.TaskTrees(rounds=10),
    linear.TaskGaussianProcess(lengthscale=2.0, task_covariance=np.ones((3, 3)) + np.eye(3), noise=0.5),
    linear.StrengthCV(linear.TraceNorm(), [1.0, 0.1], folds=3),
]  # fmt: skip


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda m: type(m).__name__)
def test_cross_validation_is_the_loop(model):
    pipe = make_pipeline(StandardScaler(), model)
    scores = cross_val_score(pipe, DATA.X, DATA.y, params={"tasks": DATA.tasks}, cv=FOLDS)
    for score, (train, test) in zip(scores, FOLDS.split(DATA.X, tasks=DATA.tasks), strict=True):
        scaler = StandardScaler().fit(DATA.X[train])
        model.fit(scaler.transform(DATA.X[train]), DATA.y[train], DATA.tasks[train])
        alone = model.score(scaler.transform(DATA.X[test]), DATA.y[test], tasks=DATA.tasks[test])
        assert score == pytest.approx(alone)


@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda m: type(m).__name__)
def test_sample_weights_go_along(model):
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(DATA.y))
    weighted = model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    params = {"tasks": DATA.tasks, "sample_weight": weight}
    scores = cross_val_score(weighted, DATA.X, DATA.y, params=params, cv=FOLDS)
    train, test = next(FOLDS.split(DATA.X, tasks=DATA.tasks))
    model.fit(DATA.X[train], DATA.y[train], DATA.tasks[train], sample_weight=weight[train])
    alone = model.score(DATA.X[test], DATA.y[test], tasks=DATA.tasks[test], sample_weight=weight[test])
    assert scores[0] == pytest.approx(alone)


def test_a_search_answers_through_its_best_estimator():
    search = GridSearchCV(linear.MeanRegularized(), {"strength": [0.1, 10.0]}, cv=FOLDS)
    search.fit(DATA.X, DATA.y, tasks=DATA.tasks)
    answer = search.best_estimator_.predict(DATA.X, tasks=DATA.tasks)
    assert np.isfinite(answer).all()
    assert search.score(DATA.X, DATA.y, tasks=DATA.tasks) > 0.5
    with pytest.raises(TypeError, match="tasks"):  # scikit-learn gives predict of a search no metadata
        search.predict(DATA.X, tasks=DATA.tasks)
    with pytest.raises(ValueError, match="needs the task of each row"):
        search.predict(DATA.X)


def test_one_x_with_columns_needs_no_routing():
    Y = np.column_stack([DATA.y, -DATA.y])
    search = GridSearchCV(linear.JointFeature(), {"strength": [0.1, 10.0]}, cv=3).fit(DATA.X, Y)
    assert search.predict(DATA.X).shape == Y.shape
    assert cross_val_predict(linear.JointFeature(), DATA.X, Y, cv=3).shape == Y.shape


def test_other_metrics_need_a_task_scorer():
    arguments = {"params": {"tasks": DATA.tasks}, "cv": FOLDS}
    with pytest.warns(UserWarning, match="Scoring failed"):  # its predict gets no tasks
        lost = cross_val_score(linear.MeanRegularized(), DATA.X, DATA.y, scoring="r2", **arguments)
    assert np.isnan(lost).all()
    scorer = linear.TaskScorer(mean_absolute_error, greater_is_better=False)
    scores = cross_val_score(linear.MeanRegularized(), DATA.X, DATA.y, scoring=scorer, **arguments)
    train, test = next(FOLDS.split(DATA.X, tasks=DATA.tasks))
    model = linear.MeanRegularized().fit(DATA.X[train], DATA.y[train], DATA.tasks[train])
    error = np.abs(DATA.y[test] - model.predict(DATA.X[test], DATA.tasks[test]))
    assert scores[0] == pytest.approx(-error.mean())
    each = linear.TaskScorer(mean_absolute_error, greater_is_better=False, per_task=True)
    by_task = -np.mean([error[DATA.tasks[test] == task].mean() for task in model.tasks_])
    assert each(model, DATA.X[test], DATA.y[test], tasks=DATA.tasks[test]) == pytest.approx(by_task)


def test_scorers_in_searches_and_for_classifiers():
    pipe = make_pipeline(StandardScaler(), linear.MeanRegularizedClassifier())
    scorer = linear.TaskScorer(roc_auc_score, response="decision_function")
    labels = DATA.signs == "yes"
    grid = {"meanregularizedclassifier__strength": [0.01, 0.1]}
    search = GridSearchCV(pipe, grid, cv=FOLDS, scoring=scorer).fit(DATA.X, labels, tasks=DATA.tasks)
    assert search.best_score_ > 0.8
    both = {"auc": scorer, "error": linear.TaskScorer(lambda y, answer: np.mean(y != answer), greater_is_better=False)}
    found = cross_validate(pipe, DATA.X, labels, params={"tasks": DATA.tasks}, cv=FOLDS, scoring=both)
    assert found["test_auc"].min() > 0.8
    assert found["test_error"].max() <= 0
    with pytest.raises(ValueError, match="response: expected"):
        linear.TaskScorer(roc_auc_score, response="guess")


def test_probabilities_of_a_pipeline():
    labels = DATA.signs
    for model in (linear.TraceNormClassifier(), linear.StrengthCV(linear.TraceNormClassifier(), [1.0, 0.1], folds=3)):
        pipe = make_pipeline(StandardScaler(), model).fit(DATA.X, labels, tasks=DATA.tasks)
        chances = pipe.predict_proba(DATA.X, tasks=DATA.tasks)
        assert chances.shape == (90, 2)
        np.testing.assert_array_equal(pipe.predict(DATA.X, tasks=DATA.tasks) == "yes", chances[:, 1] > 0.5)
