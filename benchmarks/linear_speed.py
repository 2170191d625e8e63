"""CPU time of the linear estimators against scikit-learn and against plain loops, at the same objective.

    OMP_NUM_THREADS=1 python benchmarks/linear_speed.py --parts one own path many --repeats 5

one:  JointFeature with one X against ``MultiTaskLasso``.
own:  different X per task against a proximal gradient loop in plain numpy: a Python loop over the tasks, the step 1/L
      with L the largest squared singular value, no momentum, no Gram matrices, which stops when it is near the best
      objective. With uncorrelated features it needs few steps, with correlated ones (0.8 between neighbours) many.
path: 50 strengths from the top down to 1/1000 of it with warm starts, over one fit from zero at the last, the hardest.
many: ten thousand tasks; the peak is that of a process of its own.

Solvers in a ratio get the loosest tolerance of a list (two per decade) at which their objective is within 1e-6 of the
best one found; the path has the default tolerance. All run in one process, in turn. Times are CPU times of ``fit``
alone, because these are less disturbed by other work on the machine than wall times; with one BLAS thread and nothing
else running they are the same. A ratio is the median over the repeats, with its range.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

from polytask import linear

NEAR = 1e-6
TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
MANY = ("MeanRegularized", "JointFeature", "TraceNorm", "GraphTasks", "FeatureLearning")


def in_turn(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def told(seconds: list[float]) -> str:
    return f"{1e3 * np.median(seconds):8.1f} ms"


def ratio(above: list[float], below: list[float]) -> str:
    ratios = np.array(above) / np.array(below)
    return f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})"


def objective(model: object, X: np.ndarray, Y: np.ndarray, strength: float) -> float:
    residual = Y - model.predict(X)
    return 0.5 * float(np.sum(residual**2)) + strength * float(np.sqrt((model.coef_**2).sum(axis=0)).sum())


def one_x(repeats: int) -> None:
    print("\nOne X for all tasks: JointFeature against MultiTaskLasso")
    for n, d, tasks in ((200, 2000, 20), (2000, 500, 100), (5000, 200, 10)):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, d))
        W = np.zeros((tasks, d))
        W[:, :20] = rng.normal(size=(tasks, 20))
        Y = X @ W.T + 2 * rng.normal(size=(n, tasks))
        top = linear.JointFeature(1.0).lambda_max(X, Y)
        for share in (0.5, 0.1, 0.02):
            strength = share * top
            families = {
                "ours": lambda tol, s=strength: linear.JointFeature(s, tol=tol),
                "theirs": lambda tol, s=strength, n=n: MultiTaskLasso(s / n, tol=tol, max_iter=10_000),
            }
            values = {
                (name, tol): objective(make(tol).fit(X, Y), X, Y, strength)
                for name, make in families.items()
                for tol in TOLERANCES
            }
            best = min(values.values())
            near = {name: next(t for t in TOLERANCES if values[name, t] <= best * (1 + NEAR)) for name in families}
            runs = {
                name: lambda make=make, tol=near[name], X=X, Y=Y: make(tol).fit(X, Y) for name, make in families.items()
            }
            times = in_turn(runs, repeats)
            print(
                f"  n {n:5} d {d:5} T {tasks:4} strength {share:4} of the top: {told(times['ours'])}, theirs"
                f" {told(times['theirs'])}: {ratio(times['theirs'], times['ours'])} times as fast"
            )


def tasks_of(number: int, rows: int, d: int, alike: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    tasks = np.repeat(np.arange(number), rng.integers(rows // 2, 3 * rows // 2, size=number))
    X = rng.normal(size=(len(tasks), d))
    for j in range(1, d):
        X[:, j] = alike * X[:, j - 1] + np.sqrt(1 - alike**2) * X[:, j]
    W = rng.normal(size=(number, 4)) @ rng.normal(size=(4, d))
    return X, np.einsum("ij,ij->i", X, W[tasks]) + rng.normal(size=len(tasks)), tasks


def plain_loop(
    X: list[np.ndarray], y: list[np.ndarray], strength: float, goal: float, most: int = 20_000
) -> np.ndarray:
    """Proximal gradient as one writes it down; stops when the objective is near the goal."""
    step = 1 / max(np.linalg.norm(x, 2) ** 2 for x in X)
    W = np.zeros((len(X), X[0].shape[1]))
    for iteration in range(most):
        grad = np.stack([x.T @ (x @ w - v) for x, v, w in zip(X, y, W, strict=True)])
        V = W - step * grad
        lengths = np.sqrt((V**2).sum(axis=0))
        W = V * np.maximum(1 - step * strength / np.maximum(lengths, 1e-300), 0)
        if iteration % 10 == 9:
            value = sum(0.5 * np.sum((x @ w - v) ** 2) for x, v, w in zip(X, y, W, strict=True))
            if value + strength * np.sqrt((W**2).sum(axis=0)).sum() <= goal:
                break
    return W


def own_x(repeats: int) -> None:
    print("\nDifferent X per task: JointFeature at 1/20 of the top against a plain loop (without intercepts)")
    for number, rows, d in ((139, 80, 28), (1000, 60, 40)):
        for alike in (0.0, 0.8):
            X, y, tasks = tasks_of(number, rows, d, alike)
            parts = [X[tasks == t] for t in range(number)], [y[tasks == t] for t in range(number)]
            strength = 0.05 * linear.JointFeature(fit_intercept=False).lambda_max(X, y, tasks)

            def fit(tol: float, X=X, y=y, tasks=tasks, strength=strength) -> float:
                return linear.JointFeature(strength, fit_intercept=False, tol=tol).fit(X, y, tasks).objective_

            best = fit(1e-9)
            goal = best * (1 + NEAR)
            tol = next(t for t in TOLERANCES if fit(t) <= goal)
            times = in_turn(
                {
                    "ours": lambda f=fit, t=tol: f(t),
                    "loop": lambda p=parts, s=strength, g=goal: plain_loop(*p, s, g),
                },
                repeats,
            )
            print(
                f"  T {number:5} d {d} correlation {alike}: {told(times['ours'])}, loop {told(times['loop'])}:"
                f" {ratio(times['loop'], times['ours'])} times as fast"
            )


def paths(repeats: int) -> None:
    print("\nA path of 50 strengths over one fit at the last (different X per task, T 139, d 28)")
    for alike in (0.0, 0.8):
        X, y, tasks = tasks_of(139, 80, 28, alike)
        for cls in (linear.JointFeature, linear.TraceNorm):
            top = cls().lambda_max(X, y, tasks)
            times = in_turn(
                {
                    "path": lambda c=cls, X=X, y=y, t=tasks: c().path(X, y, t, steps=50),
                    "single": lambda c=cls, s=top * 1e-3, X=X, y=y, t=tasks: c(s).fit(X, y, t),
                },
                repeats,
            )
            print(
                f"  {cls.__name__:12} correlation {alike}: {told(times['path'])}, one fit {told(times['single'])}:"
                f" {ratio(times['path'], times['single'])} fits"
            )


def many(name: str, tolerance: float = 1e-5) -> None:
    X, y, tasks = tasks_of(10_000, 50, 30, 0.8)
    model = getattr(linear, name)(tol=tolerance)
    if name in ("JointFeature", "TraceNorm"):
        model.set_params(strength=0.05 * model.lambda_max(X, y, tasks))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.process_time()
    model.fit(X, y, tasks)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  {name:16} {seconds:5.2f} s, {model.n_iter_:3} products, residual {model.residual_:.0e},"
        f" peak {peak:.2f} GiB ({before:.2f} before the fit, data {X.nbytes / 2**30:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--parts", nargs="+", choices=("one", "own", "path", "many"), default=("one", "own", "path", "many")
    )
    parser.add_argument("--many", choices=MANY, help="only this estimator on ten thousand tasks, in this process")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # loose tolerances are tried on purpose
    if options.many:
        many(options.many)
        return
    for part, run in (("one", one_x), ("own", own_x), ("path", paths)):
        if part in options.parts:
            run(options.repeats)
    if "many" in options.parts:
        print("\n10,000 tasks of about 50 rows and 30 features, tol 1e-5, one fit", flush=True)
        for name in MANY:
            subprocess.run([sys.executable, __file__, "--many", name], check=True)


if __name__ == "__main__":
    main()
