"""Gradient boosting with trees that hold a value per task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from polytask.linear.arrays import Array, Codes
from polytask.linear.histogram_tree import Cells, Layout, Slopes, Tree, TreeOptions, grow


@dataclass(frozen=True)
class Ensemble:
    """Thresholds of the bins, starts and trees.

    :param edges: per feature, rising thresholds between bins.
    :param start: (T + 1,) first prediction of every task, and of an unseen one.
    """

    edges: tuple[Array, ...]
    start: Array
    trees: tuple[Tree, ...]
    rate: float

    def values(self, X: Array, codes: Codes) -> Array:
        """Predictions (N,) of rows for tasks; code T is an unseen task."""
        cells = find_cells(X, self.edges, layout_of(self.edges))
        out = self.start[codes]
        for tree in self.trees:
            out = out + self.rate * tree.values[tree.leaves(cells), codes]
        return out

    def all_values(self, X: Array) -> Array:
        """Predictions (N, T) of every row for every task."""
        cells = find_cells(X, self.edges, layout_of(self.edges))
        out = np.tile(self.start, (len(X), 1))
        for tree in self.trees:
            out += self.rate * tree.values[tree.leaves(cells)]
        return np.asarray(out[:, :-1])


def boost(
    X: Array, codes: Codes, tasks: int, y: Array, weight: Array, *,
    rounds: int, rate: float, options: TreeOptions, logistic: bool,
) -> Ensemble:  # fmt: skip
    """Newton boosting of the squared loss, or of the logistic loss with y in {-1, 1}."""
    edges = find_edges(X, options.bins)
    layout = layout_of(edges)
    cells = find_cells(X, edges, layout)
    start = _start(codes, tasks, y, weight, options.pooling, logistic=logistic)
    value = start[codes]
    trees = []
    for _ in range(rounds):
        if logistic:
            chance = expit(value)
            residual, curvature = weight * ((y + 1) / 2 - chance), weight * np.maximum(chance * (1 - chance), 1e-12)
        else:
            residual, curvature = weight * (y - value), weight
        tree = grow(Slopes(cells, codes, residual, curvature), layout, tasks, options)
        trees.append(tree)
        value = value + rate * tree.values[tree.leaves(cells), codes]
    return Ensemble(edges, start, tuple(trees), rate)


def find_edges(X: Array, bins: int) -> tuple[Array, ...]:
    """Middles between neighbouring distinct values, or between quantiles where there are more than ``bins``."""
    edges = []
    for column in X.T:
        distinct = np.unique(column)
        if len(distinct) > bins:
            distinct = np.unique(np.quantile(column, np.linspace(0, 1, bins), method="nearest"))
        edges.append(distinct[:-1] / 2 + distinct[1:] / 2)
    return tuple(edges)


def layout_of(edges: tuple[Array, ...]) -> Layout:
    """Bins between the thresholds of every feature, rounded up to powers of two so that there are few sizes."""
    return Layout.of(np.array([1 << len(thresholds).bit_length() for thresholds in edges]))


def find_cells(X: Array, edges: tuple[Array, ...], layout: Layout) -> Cells:
    """The cell of every value (N, d)."""
    out = np.empty(X.shape, dtype=np.intp)
    for j, thresholds in enumerate(edges):
        out[:, j] = layout.first[j] + np.searchsorted(thresholds, X[:, j], side="left")
    return out


def _start(codes: Codes, tasks: int, y: Array, weight: Array, pooling: float, *, logistic: bool) -> Array:
    """Means of the tasks, drawn to the mean of all by ``pooling`` rows; as log odds for a logistic loss."""
    labels = (y + 1) / 2 if logistic else y
    sums, counts = np.bincount(codes, weight * labels, tasks), np.bincount(codes, weight, tasks)
    common = sums.sum() / counts.sum()
    means = np.append((sums + pooling * common) / (counts + pooling), common)
    if not logistic:
        return np.asarray(means)
    means = np.clip(means, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(means) - np.log1p(-means))
