"""Random problems that are hard on purpose, and the objective of an estimator written out task by task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
SMALL = VECTORS["linear_mtl_data"][0]["inputs"]
SMALL_X = [np.array(x) for x in SMALL["X"]]
SMALL_Y = [np.array(y) for y in SMALL["y"]]


@dataclass(frozen=True)
class Data:
    """Rows of several tasks."""

    X: np.ndarray
    y: np.ndarray
    tasks: np.ndarray
    weight: np.ndarray | None = None

    @property
    def signs(self) -> np.ndarray:
        """Labels for classification: both classes in every task with two rows or more."""
        out = np.where(self.y > np.median(self.y), "yes", "no")
        for task in np.unique(self.tasks):
            rows = np.flatnonzero(self.tasks == task)
            out[rows[0]], out[rows[-1]] = "yes", "no"
        return out


def make(sizes: Sequence[int], d: int, seed: int = 0, *, trap: str = "") -> Data:
    """Tasks that share a direction, shuffled; ``trap`` spoils the features."""
    rng = np.random.default_rng(seed)
    tasks = rng.permutation(np.repeat([f"t{i}" for i in range(len(sizes))], sizes))
    X = rng.normal(size=(len(tasks), d))
    if trap == "constant":
        X[:, 0] = 3.0
    if trap == "collinear":
        X[:, 1] = X[:, 0]
        X[:, 2] = X[:, 0] - X[:, -1]
    shared = rng.normal(size=d)
    own = {name: shared + 0.3 * rng.normal(size=d) for name in np.unique(tasks)}
    y = np.array([x @ own[t] for x, t in zip(X, tasks, strict=True)]) + 0.5 * rng.normal(size=len(tasks)) + 2
    weight = rng.uniform(0.5, 2, size=len(tasks)) if trap == "weights" else None
    return Data(X, y, tasks, weight)


HARD = {
    "plain": make([12, 9, 20], 4),
    "single_rows": make([1, 1, 7, 1], 3, 1),
    "wide": make([4, 6, 5], 12, 2),
    "constant": make([8, 9, 7], 4, 3, trap="constant"),
    "collinear": make([9, 12, 8], 5, 4, trap="collinear"),
    "weights": make([10, 6, 8], 3, 5, trap="weights"),
    "one_task": make([15], 4, 6),
}


def slope(estimator: Any, data: Data) -> np.ndarray:
    """The gradient of the loss with respect to ``coef_`` and the intercept, one task after the other: (T, d + 1)."""
    out = []
    weights = np.ones(len(data.y)) if data.weight is None else data.weight
    signs = np.where(data.signs == "yes", 1.0, -1.0)
    for coef, intercept, task in zip(estimator.coef_, estimator.intercept_, estimator.tasks_, strict=True):
        rows = data.tasks == task
        X, w = data.X[rows], weights[rows]
        if estimator.loss_scaling == "mean":
            w = w / w.sum()
        value = X @ coef + intercept
        if estimator.logistic:
            residual = -w * signs[rows] / (1 + np.exp(signs[rows] * value))
        else:
            residual = w * (value - data.y[rows])
        out.append(np.append(X.T @ residual, residual.sum()))
    return np.array(out)
