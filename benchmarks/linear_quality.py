"""How well the linear estimators predict: School, SARCOS, Mulan's multi-target sets, the computer survey.

    POLYTASK_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/linear_quality.py --sets school sarcos --splits 10

``POLYTASK_DATA`` has the folders ``school``, ``sarcos_4449``, ``mulan_mtr`` and ``computer_survey``. Strengths are
tuned by cross-validation inside the training rows of every split; the test rows are seen once.

School: explained variance in percent with the within-school definition of the papers, ``1 - SSE / sum over schools of
the squared distances to the mean of the school's test rows``, over the ten published splits. The other sets: squared
error over the variance of the test labels, mean over tasks (1 is the mean of the labels). Told is the mean over the
splits with its 95 % t-interval, which is too narrow because the training sets overlap.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.io import arff, loadmat
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, RidgeCV

from polytask import linear

DATA = Path(os.environ.get("POLYTASK_DATA", "data"))
Split = tuple[Any, Any, Any, Any, Any, Any]  # X, y, tasks of the training rows, then of the test rows
FACTORS = np.logspace(3.5, -1.5, 11)
MULAN = {"enb": 2, "jura": 3, "slump": 3, "edm": 2, "andro": 6, "wq": 14, "oes97": 16, "atp1d": 6}


def school(splits: int) -> Iterator[Split]:
    content = loadmat(DATA / "school" / "school_b.mat")
    X, y = content["x"].T.astype(float), content["y"].ravel().astype(float)
    starts = content["task_indexes"].ravel().astype(int) - 1
    tasks = np.searchsorted(starts, np.arange(len(y)), side="right") - 1
    keep = X.std(axis=0) > 0
    for k in range(1, splits + 1):
        index = loadmat(DATA / "school" / "splits" / f"school_{k}_indexes.mat")
        train, test = (index[name].ravel().astype(int) - 1 for name in ("tr", "tst"))
        middle, spread = X[train][:, keep].mean(axis=0), X[train][:, keep].std(axis=0)
        Z = (X[:, keep] - middle) / spread
        yield Z[train], y[train], tasks[train], Z[test], y[test], tasks[test]


def columns(X: np.ndarray, Y: np.ndarray, splits: int, train_rows: int | None = None) -> Iterator[Split]:
    """Random halves, or ``train_rows`` rows, of one X with several targets, standardised by the training rows."""
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(X))
        size = train_rows or len(X) // 2
        train, test = order[:size], order[size:]
        keep = X[train].std(axis=0) > 0
        Z = (X[:, keep] - X[train][:, keep].mean(axis=0)) / X[train][:, keep].std(axis=0)
        V = (Y - Y[train].mean(axis=0)) / Y[train].std(axis=0)
        yield Z[train], V[train], None, Z[test], V[test], None


def sarcos(splits: int) -> Iterator[Split]:
    content = np.load(DATA / "sarcos_4449" / "sarcos_inv_test.npz")
    return columns(content["X"].astype(float), content["Y"].astype(float), splits, train_rows=300)


def mulan(name: str, splits: int) -> Iterator[Split]:
    with gzip.open(DATA / "mulan_mtr" / f"{name}.arff.gz", "rt") as file:
        rows, meta = arff.loadarff(file)
    table = np.column_stack(
        [np.unique(rows[c], return_inverse=True)[1] if meta[c][0] == "nominal" else rows[c] for c in meta.names()]
    ).astype(float)
    return columns(table[:, : -MULAN[name]], table[:, -MULAN[name] :], splits)


def survey(splits: int) -> Iterator[Split]:
    """Every person rates 20 computers; 12 ratings of each are for training."""
    design = np.genfromtxt(DATA / "computer_survey" / "design_matrix_20x14.csv", delimiter=",")
    ratings = np.genfromtxt(DATA / "computer_survey" / "like_buy_190x20.csv", delimiter=",")
    design, ratings = design[-20:], ratings[-190:, -20:]
    design = design[:, design.std(axis=0) > 0]
    for seed in range(splits):
        rng = np.random.default_rng(seed)
        chosen = np.argsort(rng.random(ratings.shape), axis=1)
        parts = []
        for part in (chosen[:, :12], chosen[:, 12:]):
            parts += [
                design[part.ravel()],
                np.take_along_axis(ratings, part, 1).ravel(),
                np.repeat(np.arange(190), part.shape[1]),
            ]
        yield tuple(parts)


def searched(estimator: Any, grid: Any = FACTORS) -> Callable[[Split], np.ndarray]:
    def run(split: Split) -> np.ndarray:
        X, y, tasks, Z, _, others = split
        return np.asarray(linear.StrengthCV(estimator, grid, folds=5).fit(X, y, tasks).predict(Z, others))

    return run


def per_task(build: Callable[[], Any]) -> Callable[[Split], np.ndarray]:
    def run(split: Split) -> np.ndarray:
        X, y, tasks, Z, _, others = split
        if tasks is None:
            return np.stack([build().fit(X, column).predict(Z) for column in y.T], axis=1)
        out = np.empty(len(Z))
        for t in np.unique(tasks):
            out[others == t] = build().fit(X[tasks == t], y[tasks == t]).predict(Z[others == t])
        return out

    return run


def pooled(split: Split) -> np.ndarray:
    X, y, tasks, Z, _, _ = split
    if tasks is None:
        return np.repeat(RidgeCV(np.logspace(-2, 4, 13)).fit(X, y.mean(axis=1)).predict(Z)[:, None], y.shape[1], axis=1)
    return np.asarray(RidgeCV(np.logspace(-2, 4, 13)).fit(X, y).predict(Z))


def trees(split: Split) -> np.ndarray:
    X, y, tasks, Z, _, others = split
    return np.asarray(linear.TaskTrees(150, 0.1, depth=4, pooling=20.0).fit(X, y, tasks).predict(Z, others))


def kernel(split: Split) -> np.ndarray:
    X, y, tasks, Z, _, others = split
    model = linear.KernelTasks(1.0, "rbf", 0.3 / X.shape[1], mu=0.3)
    return np.asarray(model.fit(X, y, tasks).predict(Z, others))


BOTH = {"strength": [3, 10, 30, 100, 300], "ridge": [0.01, 0.1, 1]}
CONTENDERS: dict[str, Callable[[Split], np.ndarray]] = {
    "ridge, pooled": pooled,
    "ridge per task": per_task(lambda: RidgeCV(np.logspace(-2, 4, 13))),
    "lasso per task": per_task(lambda: LassoCV(alphas=10, cv=3)),
    "boosting per task": per_task(lambda: HistGradientBoostingRegressor(max_iter=60, min_samples_leaf=5)),
    "MeanRegularized": searched(linear.MeanRegularized(), BOTH),
    "JointFeature": searched(linear.JointFeature(tol=1e-4)),
    "TraceNorm": searched(linear.TraceNorm(tol=1e-4)),
    "Dirty": searched(linear.Dirty(tol=1e-3)),
    "Robust": searched(linear.Robust(tol=1e-3)),
    "RobustFeature": searched(linear.RobustFeature(tol=1e-3)),
    "SparseLowRank": searched(linear.SparseLowRank(tol=1e-3), {"sparse": [3, 30], "radius": [3, 10, 30, 100]}),
    "ClusteredTasks": searched(linear.ClusteredTasks(tol=1e-4)),
    "AlternatingStructure": searched(linear.AlternatingStructure(tol=1e-4)),
    "FeatureLearning": searched(linear.FeatureLearning(tol=1e-4), np.logspace(1, -3, 9)),
    "TaskTrees": trees,
    "KernelTasks": kernel,
}
SLOW = {"school": {"KernelTasks", "lasso per task", "boosting per task"}, "survey": {"boosting per task"}}


def within_school(split: Split, answer: np.ndarray) -> float:
    """Explained variance in percent; the mean of a school's test rows explains nothing."""
    _, _, _, _, y, tasks = split
    counts, sums = np.bincount(tasks), np.bincount(tasks, y)
    middle = (sums / np.maximum(counts, 1))[tasks]
    return 100 * (1 - float(np.sum((y - answer) ** 2) / np.sum((y - middle) ** 2)))


def normalised(split: Split, answer: np.ndarray) -> float:
    y = split[4]
    if y.ndim == 1:
        return float(np.mean((y - answer) ** 2) / np.var(y))
    return float(np.mean(np.mean((y - answer) ** 2, axis=0) / np.var(y, axis=0)))


def told(values: list[float]) -> str:
    half = (
        stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    )
    return f"{np.mean(values):8.3f} +- {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["school", "sarcos", "survey", *MULAN])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="names of contenders")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    makers = {"school": school, "sarcos": sarcos, "survey": survey}
    for name in chosen.sets:
        splits = list(makers[name](chosen.splits) if name in makers else mulan(name, chosen.splits))
        measure = within_school if name == "school" else normalised
        what = "explained variance, %" if name == "school" else "normalised squared error"
        print(f"\n{name}: {what}, {len(splits)} splits")
        for label, run in CONTENDERS.items():
            if (chosen.only and label not in chosen.only) or (label in SLOW.get(name, ()) and not chosen.only):
                continue
            start = time.perf_counter()
            scores = [measure(split, run(split)) for split in splits]
            print(f"  {label:22} {told(scores)}   ({time.perf_counter() - start:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
