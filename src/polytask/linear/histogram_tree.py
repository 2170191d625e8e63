"""A regression tree whose leaves hold one value per task, grown on histograms of all tasks at once.

In a leaf the tasks have a value in common, ``v = R / (H + ridge)``, and one of their own, drawn to it as if ``pooling``
rows had it: ``u_t = (R_t - H_t v) / (H_t + pooling)``, with ``R`` the sums of the negative gradients and ``H`` of the
curvatures. The gain of a split is what that model takes off the quadratic approximation of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array, Codes

Cells = NDArray[np.intp]


@dataclass(frozen=True)
class Layout:
    """Where the bins of the features lie: one after the other, features with equally many together; C cells in all.

    :param first: (d,) first cell of every feature.
    :param feature: (C,) feature of every cell.
    :param runs: first cell, number of features and bins of each, for features with equally many bins.
    """

    first: NDArray[np.intp]
    feature: NDArray[np.intp]
    runs: tuple[tuple[int, int, int], ...]

    @staticmethod
    def of(sizes: NDArray[np.intp]) -> Layout:
        """Features of so many bins (d,)."""
        order = np.argsort(sizes, kind="stable")
        first = np.empty_like(sizes)
        first[order] = np.cumsum(sizes[order]) - sizes[order]
        runs, at = [], 0
        for bins, features in zip(*np.unique(sizes, return_counts=True), strict=True):
            runs.append((at, int(features), int(bins)))
            at += int(bins * features)
        return Layout(first, np.repeat(order, sizes[order]), tuple(runs))


@dataclass(frozen=True)
class TreeOptions:
    """How a tree is grown; ``bins`` at most 256."""

    depth: int
    least_rows: int
    pooling: float
    ridge: float
    bins: int


@dataclass(frozen=True)
class Tree:
    """Nodes in arrays; a leaf has feature -1.

    :param feature: (nodes,) feature of the split.
    :param threshold: (nodes,) last cell that goes left.
    :param left: (nodes,) index of the left child; the right one follows it.
    :param values: (nodes, T + 1): the value of every task, and last the value in common.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.intp]
    left: NDArray[np.intp]
    values: Array

    def leaves(self, cells: Cells) -> Codes:
        """The leaf of every row."""
        node = np.zeros(len(cells), dtype=np.intp)
        rows = np.arange(len(cells))
        while True:
            inside = self.feature[node] >= 0
            if not inside.any():
                return node
            at = node[inside]
            right = cells[rows[inside], self.feature[at]] > self.threshold[at]
            node[inside] = self.left[at] + right


@dataclass(frozen=True)
class Slopes:
    """What a tree sees of some rows.

    :param cells: (N, d) the cell of every value.
    :param codes: (N,) tasks.
    :param residual: (N,) negative gradients.
    :param curvature: (N,) second derivatives.
    """

    cells: Cells
    codes: Codes
    residual: Array
    curvature: Array

    def of(self, rows: Codes) -> Slopes:
        """Some rows."""
        return Slopes(self.cells[rows], self.codes[rows], self.residual[rows], self.curvature[rows])


def grow(slopes: Slopes, layout: Layout, tasks: int, options: TreeOptions) -> Tree:
    """Grow depth first; a split needs a positive gain and ``least_rows`` rows on both sides."""
    feature, threshold, left, values = [-1], [0], [0], [np.zeros(tasks + 1)]
    waiting = [(0, slopes, 0)]
    while waiting:
        node, here, depth = waiting.pop()
        values[node] = _leaf(here, tasks, options)
        if depth >= options.depth or len(here.codes) < 2 * options.least_rows:
            continue
        split = _best_split(here, layout, options)
        if split is None:
            continue
        feature[node], threshold[node] = split
        left[node] = len(feature)
        below = here.cells[:, split[0]] <= split[1]
        for side in (below, ~below):
            waiting.append((len(feature), here.of(np.flatnonzero(side)), depth + 1))
            feature.append(-1)
            threshold.append(0)
            left.append(0)
            values.append(np.zeros(tasks + 1))
    return Tree(np.array(feature), np.array(threshold), np.array(left), np.array(values))


def _leaf(slopes: Slopes, tasks: int, options: TreeOptions) -> Array:
    R, H = _sums(slopes.codes, slopes.residual, tasks), _sums(slopes.codes, slopes.curvature, tasks)
    common = R.sum() / max(H.sum() + options.ridge, np.finfo(float).tiny)
    own = (R - H * common) / np.maximum(H + options.pooling, np.finfo(float).tiny)
    return np.append(common + own, common)


def _sums(places: Codes, values: Array, size: int) -> Array:
    return np.asarray(np.bincount(places, values, size), dtype=np.float64)


def _score(R: Array, H: Array, options: TreeOptions) -> Array:
    """Twice what the best values take off the loss; tasks are the last axis.

    With ``v`` in common it is ``R v + sum_t (R_t - H_t v)^2 / (H_t + pooling)``.
    """
    tiny = np.finfo(float).tiny
    total, weight = R.sum(axis=-1), H.sum(axis=-1)
    common = total / np.maximum(weight + options.ridge, tiny)
    off = H * common[..., None]
    np.subtract(R, off, out=off)
    return np.asarray(
        total * common + np.einsum("...t,...t,...t->...", off, off, 1 / np.maximum(H + options.pooling, tiny))
    )


def _best_split(slopes: Slopes, layout: Layout, options: TreeOptions) -> tuple[int, int] | None:
    """The feature and the last cell of the left side; histograms are (cells, tasks that are present)."""
    present, local = np.unique(slopes.codes, return_inverse=True)
    rows, d = slopes.cells.shape
    size, cells = len(present), len(layout.feature)
    places = (slopes.cells * size + local[:, None]).ravel()
    residual, curvature = (
        _sums(places, np.repeat(values, d), cells * size) for values in (slopes.residual, slopes.curvature)
    )
    counts = np.bincount(slopes.cells.ravel(), minlength=cells)
    whole = float(_score(_sums(local, slopes.residual, size), _sums(local, slopes.curvature, size), options))
    best, gain = -1, 1e-9 * max(whole, 1e-300)
    for first, features, bins in layout.runs:
        part, shape = slice(first, first + features * bins), (features, bins)
        R, H = (sums.reshape(cells, size)[part].reshape(*shape, size).cumsum(axis=1) for sums in (residual, curvature))
        count = counts[part].reshape(shape).cumsum(axis=1)
        gains = _score(R, H, options) + _score(R[:, -1:] - R, H[:, -1:] - H, options) - whole
        gains[(count < options.least_rows) | (rows - count < options.least_rows)] = -np.inf
        here = int(np.argmax(gains))
        if gains.flat[here] > gain:
            best, gain = first + here, float(gains.flat[here])
    return None if best < 0 else (int(layout.feature[best]), best)
