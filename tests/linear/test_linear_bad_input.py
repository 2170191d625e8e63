"""Bad input is refused with a ValueError that names the task."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from linear_problems import make

from polytask import linear

DATA = make([6, 5, 7], 3, 40)
X, Y, TASKS = DATA.X, DATA.y, DATA.tasks


def spoilt(array, row, value):
    out = array.copy()
    out[row] = value
    return out


BAD = {
    "labels too short": (lambda m: m.fit(X, Y, TASKS[:-1]), r"one label per row of X: expected shape \(18,\)"),
    "missing task": (lambda m: m.fit(X, Y, np.where(np.arange(18) == 3, None, TASKS)), "row 3 has no task label"),
    "nan in X": (
        lambda m: m.fit(spoilt(X, (4, 1), np.nan), Y, TASKS),
        f"task '{TASKS[4]}', row 4: Input X contains NaN",
    ),
    "inf in X": (lambda m: m.fit(spoilt(X, (4, 1), np.inf), Y, TASKS), f"task '{TASKS[4]}', row 4.*infinity"),
    "nan in sparse X": (
        lambda m: m.fit(sp.csr_array(spoilt(X, (4, 1), np.nan)), Y, TASKS),
        f"task '{TASKS[4]}', row 4",
    ),
    "nan in y": (lambda m: m.fit(X, spoilt(Y, 5, np.nan), TASKS), f"task '{TASKS[5]}': Input y contains NaN"),
    "column without labels": (lambda m: m.fit(X, np.column_stack([Y, np.full(18, np.nan)])), "task 1: no labelled row"),
    "weights of zero": (lambda m: m.fit(X, Y, TASKS, (TASKS != "t1") * 1.0), "task 't1': no labelled row"),
    "negative weights": (lambda m: m.fit(X, Y, TASKS, -np.ones(18)), "Negative values|negative"),
    "rows of y": (lambda m: m.fit(X, Y[:-1], TASKS), "inconsistent numbers of samples"),
    "tasks with columns": (lambda m: m.fit(X, np.column_stack([Y, Y]), TASKS), "takes no tasks"),
    "lists of unequal length": (lambda m: m.fit([X, X], [Y]), "list of 2 arrays, y of 1"),
    "list with unequal rows": (lambda m: m.fit([X, X], [Y, Y[:4]], ["a", "b"]), "task 'b': X has 18 rows, y 4"),
    "list with unequal features": (lambda m: m.fit([X, X[:, :2]], [Y, Y]), "task 1: expected 3 features"),
    "empty list member": (lambda m: m.fit([X, X[:0]], [Y, Y[:0]]), "task 1: X has 0 rows"),
    "list with nan": (lambda m: m.fit([X, spoilt(X, (2, 0), np.nan)], [Y, Y], ["a", "b"]), "task 'b', row 20"),
    "predict without tasks": (lambda m: m.fit(X, Y, TASKS).predict(X), "needs the task of each row"),
    "predict with labels of another type": (lambda m: m.fit(X, Y, TASKS).predict(X, np.arange(18)), "in fit they were"),
    "predict a table too short": (lambda m: m.fit(X, Y, TASKS).predict(X[:4], TASKS), "one label per row"),
    "loss scaling": (lambda m: m.set_params(loss_scaling="max").fit(X, Y, TASKS), "loss_scaling: expected one of"),
    "unseen": (lambda m: m.set_params(unseen="maybe").fit(X, Y, TASKS), "unseen: expected one of"),
    "max_iter": (lambda m: m.set_params(max_iter=0).fit(X, Y, TASKS), "max_iter >= 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data(case):
    act, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        act(linear.JointFeature())


@pytest.mark.parametrize(
    "name", [n for n, c in linear.ESTIMATORS.items() if "strengths" in vars(c) or n == "trace_norm"]
)
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "strong", None])
def test_bad_strengths(name, value):
    cls = linear.ESTIMATORS[name]
    for key in cls.strengths:
        with pytest.raises(ValueError, match=f"{key}: expected a finite number of at least 0"):
            cls(**{key: value}).fit(X, DATA.signs if cls.logistic else Y, TASKS)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear.ClusteredTasks(clusters=4), "clusters: expected a whole number from 1 to 3, found 4"),
        (linear.ClusteredTasks(clusters=0), "clusters: expected"),
        (linear.ClusteredTasks(ridge=0.0), "ridge: expected a positive number"),
        (linear.AlternatingStructure(dimensions=4), "dimensions: expected a whole number from 1 to 3"),
        (linear.GraphTasks(graph=np.eye(2)), r"expected an adjacency of shape \(3, 3\)"),
        (linear.GraphTasks(graph=[[0, 1, 0], [0, 0, 1], [0, 1, 0]]), "not symmetric between the tasks 't0' and 't1'"),
        (linear.GraphTasks(graph=[[0, 1, 0], [1, 0, 0], [0, 0, 0]]), "no path from task 't0' to task 't2'"),
        (linear.GraphTasks(graph=-np.ones((3, 3))), "not negative"),
        (linear.GraphTasks(graph="ring"), "expected 'chain'"),
        (linear.StrengthCV(linear.TraceNorm(), {"alpha": [1]}), "no argument"),
        (linear.StrengthCV(linear.TraceNorm(), folds=99), "expected 2 to 18 folds"),
    ],
)
def test_bad_arguments(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, TASKS)


def test_a_task_with_one_class():
    labels = np.where(TASKS == "t1", "yes", DATA.signs)
    with pytest.raises(ValueError, match="task 't1': all labels are of one class"):
        linear.TraceNormClassifier().fit(X, labels, TASKS)
    model = linear.TraceNormClassifier(fit_intercept=False, tol=1e-9).fit(X, labels, TASKS)
    assert model.residual_ <= 1e-9
    with pytest.raises(ValueError, match="one class"):
        linear.TraceNormClassifier().fit(X, np.full(18, "yes"), TASKS)
    with pytest.raises(ValueError, match="Only binary classification"):
        linear.TraceNormClassifier().fit(X, np.arange(18) % 3, TASKS)


def test_zero_labels_and_one_row():
    model = linear.JointFeature().fit(X, np.zeros(18), TASKS)
    assert not model.coef_.any()
    one = linear.TraceNorm().fit(X[:1], Y[:1])
    assert one.predict(X[:1])[0] == pytest.approx(Y[0])
