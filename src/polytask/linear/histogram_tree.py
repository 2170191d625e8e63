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

Bins = NDArray[np.uint8]


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
    :param threshold: (nodes,) last bin that goes left.
    :param left: (nodes,) index of the left child; the right one follows it.
    :param values: (nodes, T + 1): the value of every task, and last the value in common.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.intp]
    left: NDArray[np.intp]
    values: Array

    def leaves(self, binned: Bins) -> Codes:
        """The leaf of every row."""
        node = np.zeros(len(binned), dtype=np.intp)
        rows = np.arange(len(binned))
        while True:
            inside = self.feature[node] >= 0
            if not inside.any():
                return node
            at = node[inside]
            right = binned[rows[inside], self.feature[at]] > self.threshold[at]
            node[inside] = self.left[at] + right


@dataclass(frozen=True)
class Slopes:
    """What a tree sees of some rows.

    :param binned: (N, d) bins.
    :param codes: (N,) tasks.
    :param residual: (N,) negative gradients.
    :param curvature: (N,) second derivatives.
    """

    binned: Bins
    codes: Codes
    residual: Array
    curvature: Array

    def of(self, rows: Codes) -> Slopes:
        """Some rows."""
        return Slopes(self.binned[rows], self.codes[rows], self.residual[rows], self.curvature[rows])


def grow(slopes: Slopes, tasks: int, options: TreeOptions) -> Tree:
    """Grow depth first; a split needs a positive gain and ``least_rows`` rows on both sides."""
    feature, threshold, left, values = [-1], [0], [0], [np.zeros(tasks + 1)]
    waiting = [(0, slopes, 0)]
    while waiting:
        node, here, depth = waiting.pop()
        values[node] = _leaf(here, tasks, options)
        if depth >= options.depth or len(here.codes) < 2 * options.least_rows:
            continue
        split = _best_split(here, options)
        if split is None:
            continue
        feature[node], threshold[node] = split
        left[node] = len(feature)
        below = here.binned[:, split[0]] <= split[1]
        for side in (below, ~below):
            waiting.append((len(feature), here.of(np.flatnonzero(side)), depth + 1))
            feature.append(-1)
            threshold.append(0)
            left.append(0)
            values.append(np.zeros(tasks + 1))
    return Tree(np.array(feature), np.array(threshold), np.array(left), np.array(values))


def _leaf(slopes: Slopes, tasks: int, options: TreeOptions) -> Array:
    R = np.bincount(slopes.codes, slopes.residual, tasks)
    H = np.bincount(slopes.codes, slopes.curvature, tasks)
    common = R.sum() / max(H.sum() + options.ridge, np.finfo(float).tiny)
    own = (R - H * common) / np.maximum(H + options.pooling, np.finfo(float).tiny)
    return np.append(common + own, common)


def _score(R: Array, H: Array, options: TreeOptions) -> Array:
    """Twice what the best values take off the loss; tasks are the last axis."""
    tiny = np.finfo(float).tiny
    total, weight = R.sum(axis=-1), H.sum(axis=-1)
    common = total / np.maximum(weight + options.ridge, tiny)
    off = np.square(R - H * common[..., None]) / np.maximum(H + options.pooling, tiny)
    return np.asarray(total * common + off.sum(axis=-1))


def _best_split(slopes: Slopes, options: TreeOptions) -> tuple[int, int] | None:
    """The feature and the last bin of the left side; histograms are (d, bins, tasks that are present)."""
    present, local = np.unique(slopes.codes, return_inverse=True)
    rows, d = slopes.binned.shape
    width, size = int(slopes.binned.max(initial=0)) + 1, len(present)
    bins = slopes.binned + width * np.arange(d)
    cells = (bins * size + local[:, None]).ravel()

    def histogram(values: Array) -> Array:
        counts = np.bincount(cells, np.repeat(values, d), d * width * size)
        return np.asarray(counts.reshape(d, width, size).cumsum(axis=1), dtype=np.float64)

    R, H = histogram(slopes.residual), histogram(slopes.curvature)
    count = np.bincount(bins.ravel(), minlength=d * width).reshape(d, width).cumsum(axis=1)
    whole = float(_score(R[0, -1], H[0, -1], options))
    gain = _score(R, H, options) + _score(R[:, -1:] - R, H[:, -1:] - H, options) - whole
    gain[(count < options.least_rows) | (rows - count < options.least_rows)] = -np.inf
    best = int(np.argmax(gain))
    if gain.flat[best] <= 1e-9 * max(whole, 1e-300):
        return None
    return best // width, best % width
