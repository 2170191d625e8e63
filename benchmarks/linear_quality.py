"""How well the linear estimators predict: School, SARCOS, Mulan's multi-target sets, the computer survey.

    POLYTASK_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/linear_quality.py --results runs/linear_quality

``POLYTASK_DATA`` has the folders ``school``, ``sarcos_4449``, ``mulan_mtr`` and ``computer_survey``; extras
``[linear,gp,boosting]``. Printed is a Markdown table: the mean over the splits and the half width of its 95 %
t-interval, which is too narrow because the training sets of the splits overlap. ``--sets`` and ``--only`` choose
columns and rows, ``--quick`` takes 3 splits and coarse grids. With ``--results`` scores are kept per set, and only what
is missing is computed.

School: explained variance in percent with the within-school definition of the papers, ``1 - SSE / sum over schools of
the squared distances to the mean of the school's test rows``, over the ten published splits. The other sets: squared
error over the variance of the test labels, mean over tasks (1 is the mean of the labels), over random splits.

Whatever is tuned is tuned inside the training rows of every split (strengths, rounds, depths, kernels: folds of the
rows of every task; the slow ones on the first of the folds); the test rows are seen once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
from scipy import stats
from scipy.io import arff, loadmat
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, RidgeCV

from polytask import Learner, Regression, linear

DATA = Path(os.environ.get("POLYTASK_DATA", "data"))
Split = tuple[Any, Any, Any, Any, Any, Any]  # X, y, tasks of the training rows, then of the test rows
Run = Callable[[Split, bool], np.ndarray]  # a split, and whether to be quick -> answers for the test rows
MULAN = {
    "enb": 2, "jura": 3, "slump": 3, "edm": 2, "andro": 6, "wq": 14, "oes97": 16, "oes10": 16, "atp1d": 6, "atp7d": 6,
}  # fmt: skip
"""Targets of each set. Left out: sf1 and sf2 (nominal features), osales and scpf (missing features)."""
FACTORS = np.logspace(3.5, -1.5, 11)


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
    table = np.column_stack([rows[c] for c in meta.names()]).astype(float)
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


def stacked(split: Split) -> tuple[Split, Callable[[np.ndarray], np.ndarray]]:
    """One label per row, and the way back to the form of the answers."""
    X, y, tasks, Z, z, _ = split
    if tasks is not None:
        return split, lambda answer: answer
    T, n = y.shape[1], len(Z)
    parts = (np.tile(X, (T, 1)), y.T.ravel(), np.repeat(np.arange(T), len(X)))
    return (*parts, np.tile(Z, (T, 1)), z.T.ravel(), np.repeat(np.arange(T), n)), lambda answer: answer.reshape(T, n).T


def searched(estimator: Any, grid: Any = FACTORS) -> Run:
    """A linear estimator with the strengths of cross-validation."""

    def run(split: Split, quick: bool) -> np.ndarray:
        X, y, tasks, Z, _, others = split
        coarse = grid[::2] if quick and isinstance(grid, np.ndarray) else grid
        model = linear.StrengthCV(estimator, coarse, folds=3 if quick else 5)
        return np.asarray(model.fit(X, y, tasks).predict(Z, others))

    return run


def chosen(
    answer: Callable[..., np.ndarray], grid: dict[str, list[Any]], folds: int = 3, used: int | None = None
) -> Run:
    """``answer(split, **options)`` with the options of the least squared error over ``used`` of the folds."""

    def run(split: Split, quick: bool) -> np.ndarray:
        X, y, tasks, _, _, _ = split
        candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        inner = list(linear.TaskKFold(folds).split(X, tasks=tasks))[: 1 if quick else used]
        errors = []
        for options in candidates if len(candidates) > 1 else ():
            total = 0.0
            for train, test in inner:
                part = (X[train], y[train], tasks if tasks is None else tasks[train])
                held = (X[test], y[test], tasks if tasks is None else tasks[test])
                total += float(np.square(answer((*part, *held), **options) - y[test]).sum())
            errors.append(total)
        return answer(split, **candidates[int(np.argmin(errors)) if errors else 0])

    return run


def per_task(build: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def answer(split: Split, **options: Any) -> np.ndarray:
        (X, y, tasks, Z, _, others), back = stacked(split)
        out = np.zeros(len(Z))
        for t in np.unique(others):
            out[others == t] = build(**options).fit(X[tasks == t], y[tasks == t]).predict(Z[others == t])
        return back(out)

    return answer


def pooled(split: Split) -> np.ndarray:
    (X, y, _, Z, _, _), back = stacked(split)
    return back(np.asarray(RidgeCV(np.logspace(-2, 4, 13)).fit(X, y).predict(Z)))


def booster(**options: Any) -> Any:
    return lightgbm.LGBMRegressor(min_child_samples=5, verbose=-1, n_jobs=1, random_state=0, **options)


def boosting_with_category(split: Split, smooth: float, **options: Any) -> np.ndarray:
    """One sequence of trees for all tasks, the task a categorical feature."""
    (X, y, tasks, Z, _, others), back = stacked(split)
    model = booster(cat_smooth=smooth, cat_l2=smooth, min_data_per_group=5, max_cat_threshold=64, **options)
    model.fit(np.column_stack([X, tasks]), y, categorical_feature=[X.shape[1]])
    return back(model.predict(np.column_stack([Z, others])))


def trees(split: Split, **options: Any) -> np.ndarray:
    X, y, tasks, Z, _, others = split
    return np.asarray(linear.TaskTrees(**options).fit(X, y, tasks).predict(Z, others))


def kernel(split: Split, strength: float, width: float, mu: float) -> np.ndarray:
    X, y, tasks, Z, _, others = split
    model = linear.KernelTasks(strength, "rbf", width / X.shape[1], mu=mu)
    return np.asarray(model.fit(X, y, tasks).predict(Z, others))


def process(split: Split, ard: bool) -> np.ndarray:
    X, y, tasks, Z, _, others = split
    model = linear.TaskGaussianProcess(ard=ard and X.shape[1] <= 30, max_iter=200)
    return np.asarray(model.fit(X, y, tasks).predict(Z, others))


def network(split: Split, batch_size: int) -> np.ndarray:
    """The default ``Learner``, an MLP with hard sharing; a task with equal labels is answered by their mean."""
    X, y, tasks, Z, _, others = split
    wide = y if tasks is None else np.where(tasks[:, None] == np.arange(tasks.max() + 1), y[:, None], np.nan)
    fit, held = next(linear.TaskKFold(5).split(X, tasks=tasks))
    varied = np.flatnonzero(np.nanmax(wide[fit], axis=0) > np.nanmin(wide[fit], axis=0))

    def frame(rows: np.ndarray) -> pl.DataFrame:
        features = {f"x{j}": column for j, column in enumerate(X[rows].T)}
        return pl.DataFrame(features | {f"y{t}": pl.Series(wide[rows, t]).fill_nan(None) for t in varied})

    training = {"epochs": 300, "patience": 30, "batch_size": batch_size}
    learner = Learner([Regression(f"y{t}") for t in varied], training=training).fit(frame(fit), frame(held))
    answers = learner.predict({f"x{j}": column for j, column in enumerate(Z.T)})
    out = np.tile(np.nanmean(wide, axis=0), (len(Z), 1))
    out[:, varied] = np.column_stack([answers[f"y{t}"].to_numpy() for t in varied])
    return out if tasks is None else out[np.arange(len(Z)), others]


STEPS = [1, 4, 16, 64, 256, 1024]
FEW = {"strength": [3, 30, 300], "ridge": [0.1, 1, 10]}
BOTH = {"strength": [3, 10, 30, 100, 300], "ridge": [0.01, 0.1, 1, 10, 100]}
BOOSTING = {"n_estimators": [30, 100], "num_leaves": [4, 15]}
CONTENDERS: dict[str, Run] = {
    "ridge, pooled": chosen(pooled, {}),
    "ridge per task": chosen(per_task(lambda: RidgeCV(np.logspace(-2, 4, 13))), {}),
    "lasso per task": chosen(per_task(lambda: LassoCV(alphas=10, cv=3, tol=1e-3)), {}),
    "boosting per task": chosen(per_task(booster), BOOSTING),
    "boosting, task as a category": chosen(boosting_with_category, BOOSTING | {"smooth": [5.0, 30.0]}),
    "network (`Learner`)": chosen(network, {"batch_size": [64, 256]}, folds=5, used=1),
    "`MeanRegularized`": searched(linear.MeanRegularized(), BOTH),
    "`JointFeature`": searched(linear.JointFeature(tol=1e-4)),
    "`TraceNorm`": searched(linear.TraceNorm(tol=1e-4)),
    "`FeatureLearning`": searched(linear.FeatureLearning(tol=1e-4), np.logspace(1, -3, 9)),
    "`Dirty`": searched(linear.Dirty(tol=1e-3), {"shared": STEPS, "own": STEPS[:5]}),
    "`Robust`": searched(linear.Robust(tol=1e-3), {"low_rank": STEPS, "outlier": STEPS[:5]}),
    "`RobustFeature`": searched(linear.RobustFeature(tol=1e-3), {"shared": STEPS, "outlier": STEPS[:5]}),
    "`SparseLowRank`": searched(linear.SparseLowRank(tol=1e-3), {"sparse": [3, 30], "radius": [1, 3, 10, 30, 100]}),
    "`ClusteredTasks`": searched(linear.ClusteredTasks(tol=1e-4), FEW | {"clusters": [1, 2]}),
    "`AlternatingStructure`": searched(linear.AlternatingStructure(tol=1e-4), FEW | {"dimensions": [1, 2]}),
    "`GraphTasks` (chain)": searched(linear.GraphTasks(), BOTH),
    "`TemporalGroup` (chain)": searched(
        linear.TemporalGroup(tol=1e-3), {"smooth": [1, 10, 100], "group": STEPS[:4], "ridge": [0.1, 3]}
    ),
    "`KernelTasks`": chosen(kernel, {"strength": [0.03, 0.3, 3.0], "width": [0.1, 0.5], "mu": [0.1, 1.0]}),
    "`TaskGaussianProcess`": chosen(process, {"ard": [True, False]}, used=1),
    "`TaskTrees`": chosen(trees, {"rounds": [150], "depth": [2, 4], "pooling": [5.0, 30.0, 100.0]}, used=1),
}
CUBIC = {"`KernelTasks`": 3000, "`TaskGaussianProcess`": 1200}
"""Most labels in training, where time is cubic in them."""


def within_school(split: Split, answer: np.ndarray) -> float:
    """Explained variance in percent; the mean of a school's test rows explains nothing."""
    _, _, _, _, y, tasks = split
    counts, sums = np.bincount(tasks), np.bincount(tasks, y)
    middle = (sums / np.maximum(counts, 1))[tasks]
    return 100 * (1 - float(np.sum((y - answer) ** 2) / np.sum((y - middle) ** 2)))


def normalised(split: Split, answer: np.ndarray) -> float:
    """Squared error over variance; the mean of the columns where there are several."""
    y = split[4]
    return float(np.mean(np.mean((y - answer) ** 2, axis=0) / np.var(y, axis=0)))


def half_width(values: list[float]) -> float:
    """Of the 95 % t-interval of the mean."""
    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def cell(values: list[float], best: float, digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return f"{f'**{mean}**' if np.mean(values) == best else mean} ± {half_width(values):.{digits}f}"


def table(scores: dict[str, dict[str, list[float]]]) -> str:
    """Contenders in rows, sets in columns; a dash where a contender was left out; the best mean is bold."""
    sets = list(scores)
    count = {name: max(len(v) for v in scores[name].values()) for name in sets}
    lines = [f"| | {' | '.join(f'{s} ({count[s]})' for s in sets)} |", "|---|" + "---|" * len(sets)]
    for label in CONTENDERS:
        cells = []
        for name in sets:
            best = (max if name == "school" else min)(float(np.mean(v)) for v in scores[name].values())
            values = scores[name].get(label)
            cells.append(cell(values, best, 1 if name == "school" else 3) if values else "–")
        if set(cells) != {"–"}:
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def scores_of(name: str, splits: int, only: list[str] | None, quick: bool, kept: Path | None) -> dict[str, list[float]]:
    """Contender -> a score per split; those that the file of the set has are not computed again."""
    makers = {"school": school, "sarcos": sarcos, "survey": survey}
    file = kept / f"{name}.json" if kept else None
    found: dict[str, list[float]] = json.loads(file.read_text()) if file and file.exists() else {}
    parts = list(makers[name](splits) if name in makers else mulan(name, splits))
    measure = within_school if name == "school" else normalised
    for label, run in CONTENDERS.items():
        if label in found or (only and not any(word.lower() in label.lower() for word in only)):
            continue
        if np.size(parts[0][1]) > CUBIC.get(label, np.inf):
            continue
        start = time.perf_counter()
        found[label] = [measure(split, run(split, quick)) for split in parts]
        print(f"{name:8} {label:30} {np.mean(found[label]):8.3f}   {time.perf_counter() - start:7.1f} s", flush=True)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found, indent=1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["school", "survey", "sarcos", *MULAN])
    parser.add_argument("--splits", type=int, default=5, help="of every set; School always has its ten")
    parser.add_argument("--only", nargs="*", help="contenders whose name has one of these words")
    parser.add_argument("--quick", action="store_true", help="three splits, coarse grids")
    parser.add_argument("--results", type=Path, help="folder that keeps the scores between calls")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    number = {name: 3 if given.quick else 10 if name == "school" else given.splits for name in given.sets}
    scores = {name: scores_of(name, number[name], given.only, given.quick, given.results) for name in given.sets}
    print("\n" + table(scores))


if __name__ == "__main__":
    main()
