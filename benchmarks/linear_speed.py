"""Time of the linear estimators against scikit-learn and against plain loops, at the same objective.

    OMP_NUM_THREADS=1 python benchmarks/linear_speed.py --repeats 5

Three tables: JointFeature with one X against ``MultiTaskLasso``; different X per task against a proximal gradient loop
in plain numpy (a Python loop over tasks, no Gram matrices, no acceleration); a path of 50 strengths, and many tasks.
Every solver gets the loosest tolerance of a list at which its objective is within 1e-6 of the best one found. All run
in one process, in turn; a time is the median over the repeats with its range.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso

from polytask import linear

NEAR = 1e-6
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


def objective(residual: np.ndarray, coef: np.ndarray, strength: float) -> float:
    return 0.5 * float(np.sum(residual**2)) + strength * float(np.sqrt((coef**2).sum(axis=0)).sum())


def loosest(fit: Callable[[float], float], best: float) -> float:
    """The first tolerance that is near enough to the best objective."""
    return next((tol for tol in TOLERANCES if fit(tol) <= best * (1 + NEAR)), TOLERANCES[-1])


def in_turn(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def told(seconds: list[float]) -> str:
    return f"{1e3 * np.median(seconds):9.1f} ms ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"


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

            def ours(tol: float, strength: float = strength, X: np.ndarray = X, Y: np.ndarray = Y) -> float:
                model = linear.JointFeature(strength, tol=tol).fit(X, Y)
                return objective(Y - model.predict(X), model.coef_, strength)

            def theirs(tol: float, strength: float = strength, X: np.ndarray = X, Y: np.ndarray = Y) -> float:
                model = MultiTaskLasso(strength / len(X), tol=tol, max_iter=10_000).fit(X, Y)
                return objective(Y - model.predict(X), model.coef_, strength)

            best = min(ours(1e-8), theirs(1e-9))
            tol, other = loosest(ours, best), loosest(theirs, best)
            times = in_turn({"ours": lambda f=ours, t=tol: f(t), "theirs": lambda f=theirs, t=other: f(t)}, repeats)
            ratio = np.median(np.array(times["theirs"]) / np.array(times["ours"]))
            print(
                f"  n {n:5} d {d:5} T {tasks:4} strength {share:4} of the top: {told(times['ours'])} against"
                f" {told(times['theirs'])}, {ratio:.1f} times as fast"
            )


def tasks_of(number: int, rows: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    tasks = np.repeat(np.arange(number), rng.integers(rows // 2, 3 * rows // 2, size=number))
    X = rng.normal(size=(len(tasks), d))
    for j in range(1, d):  # neighbouring features correlate at 0.8, as features do
        X[:, j] = 0.8 * X[:, j - 1] + 0.6 * X[:, j]
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
    print("\nDifferent X per task: JointFeature against a plain loop (without intercepts)")
    for number, rows, d in ((139, 80, 28), (1000, 60, 40)):
        X, y, tasks = tasks_of(number, rows, d)
        parts = [X[tasks == t] for t in range(number)], [y[tasks == t] for t in range(number)]
        model = linear.JointFeature(fit_intercept=False)
        strength = 0.05 * model.lambda_max(X, y, tasks)

        def ours(tol: float, X: np.ndarray = X, y: np.ndarray = y, s: float = strength, t: np.ndarray = tasks) -> float:
            return float(linear.JointFeature(s, fit_intercept=False, tol=tol).fit(X, y, t).objective_)

        best = ours(1e-9)
        tol = loosest(ours, best)
        goal = best * (1 + NEAR)
        times = in_turn(
            {
                "ours": lambda f=ours, t=tol: f(t),
                "loop": lambda p=parts, s=strength, g=goal: plain_loop(*p, s, g),
            },
            repeats,
        )
        ratio = np.median(np.array(times["loop"]) / np.array(times["ours"]))
        print(f"  T {number:5} d {d}: {told(times['ours'])} against {told(times['loop'])}, {ratio:.0f} times as fast")


def paths(repeats: int) -> None:
    print("\nA path of 50 strengths, down to 1/1000 of the top, over one fit at the weakest (different X per task)")
    X, y, tasks = tasks_of(139, 80, 28)
    for cls in (linear.JointFeature, linear.TraceNorm):
        top = cls().lambda_max(X, y, tasks)
        times = in_turn(
            {
                "path": lambda c=cls: c().path(X, y, tasks, steps=50),
                "single": lambda c=cls, t=top: c(t * 1e-3).fit(X, y, tasks),
            },
            repeats,
        )
        ratio = np.median(np.array(times["path"]) / np.array(times["single"]))
        print(f"  {cls.__name__:14} {told(times['path'])} against {told(times['single'])}: {ratio:.1f} single fits")


def many(tolerance: float = 1e-5) -> None:
    print("\n10,000 tasks of about 50 rows and 30 features, tol 1e-5, one fit")
    X, y, tasks = tasks_of(10_000, 50, 30)
    for cls in (
        linear.MeanRegularized,
        linear.JointFeature,
        linear.TraceNorm,
        linear.GraphTasks,
        linear.FeatureLearning,
    ):
        model = cls(tol=tolerance)
        if cls in (linear.JointFeature, linear.TraceNorm):
            model.set_params(strength=0.05 * model.lambda_max(X, y, tasks))
        start = time.perf_counter()
        model.fit(X, y, tasks)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {cls.__name__:16} {seconds:6.2f} s, {model.n_iter_} iterations, peak of the process {peak:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore", ConvergenceWarning)  # loose tolerances are tried on purpose
    one_x(repeats)
    own_x(repeats)
    paths(repeats)
    many()


if __name__ == "__main__":
    main()
