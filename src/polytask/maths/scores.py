"""Row scores: one number per row whose mean is the metric exactly.

The verdict on a task asks how sure a difference of two metrics is, and for that it needs the contribution of every row.
A metric that is a mean of losses has it for nothing. A smooth function of means (RMSE, R2, F1, kappa) or of pairs
(AUC) is linearised: ``score_i = metric + influence_i``, where the influence is the derivative of the metric with
respect to the weight of row i, times n. The influences sum to 0, so the mean is the metric.

All functions take and give numpy float64 arrays over n labelled rows; ``truth`` is ``(n,)`` unless said otherwise.
Where a metric is undefined (AUC with one class, R2 of constant labels), every score is NaN.

Sources: Hampel, The influence curve and its role in robust estimation, JASA 1974; DeLong, DeLong and Clarke-Pearson,
Comparing the areas under two or more correlated ROC curves, Biometrics 1988.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 in logarithms, as scikit-learn does."""


def squared_error(truth: Array, prediction: Array) -> Array:
    """MSE: ``(y_i - f_i)^2``."""
    return np.square(truth - prediction)


def absolute_error(truth: Array, prediction: Array) -> Array:
    """MAE: ``|y_i - f_i|``."""
    return np.abs(truth - prediction)


def rmse(truth: Array, prediction: Array) -> Array:
    """RMSE, linearised: ``r + (l_i - r^2) / (2 r)`` with ``l_i = (y_i - f_i)^2`` and ``r = sqrt(mean l)``."""
    unit = float(np.max(np.abs(truth - prediction), initial=0.0))
    if unit == 0.0:
        return np.zeros(len(truth))
    losses = np.square((truth - prediction) / unit)
    root = float(np.sqrt(losses.mean()))
    scores: Array = unit * (root + (losses - root**2) / (2 * root))
    return scores


def r2(truth: Array, prediction: Array) -> Array:
    """R2, linearised: ``t - (l_i - L)/V + L/V^2 ((y_i - ybar)^2 - V)``.

    ``L = mean l`` is the MSE, ``V = mean (y - ybar)^2`` and ``t = 1 - L/V``. NaN when the labels are constant.
    """
    if len(truth) == 0 or truth.min() == truth.max():
        return np.full(len(truth), np.nan)
    centred = truth - truth.mean()
    unit = float(np.max(np.abs(centred)))
    losses, squares = np.square((truth - prediction) / unit), np.square(centred / unit)
    loss, variance = losses.mean(), squares.mean()
    scores: Array = 1 - loss / variance - (losses - loss) / variance + loss / variance**2 * (squares - variance)
    return scores


def poisson_deviance(truth: Array, rate: Array) -> Array:
    """Mean Poisson deviance: ``2 (y_i log(y_i / m_i) - y_i + m_i)``, with ``0 log 0 = 0``."""
    positive = truth > 0
    ratio = np.divide(truth, np.maximum(rate, np.finfo(np.float64).tiny), out=np.ones_like(truth), where=positive)
    scores: Array = 2 * (truth * np.log(ratio) - truth + rate)
    return scores


def pinball(truth: Array, quantiles: Array, levels: tuple[float, ...]) -> Array:
    """Mean pinball loss over quantiles ``(n, Q)`` at ``levels``: ``max(q u, (q - 1) u)`` with ``u = y - f_q``."""
    error = truth[:, None] - quantiles
    tau = np.asarray(levels)
    scores: Array = np.maximum(tau * error, (tau - 1) * error).mean(1)
    return scores


def interval_score(truth: Array, low: Array, high: Array, coverage: float) -> Array:
    """Width of the interval plus ``2 / (1 - coverage)`` times the distance by which it misses.

    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 2007.
    """
    miss = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    scores: Array = (high - low) + 2 / (1 - coverage) * miss
    return scores


def covered(truth: Array, low: Array, high: Array) -> Array:
    """Coverage: 1 where the label lies in ``[low, high]``."""
    inside: Array = ((low <= truth) & (truth <= high)).astype(np.float64)
    return inside


def log_loss(truth: Array, probabilities: Array) -> Array:
    """Log loss: ``-log p_i(y_i)`` in nats.

    :param truth: class codes ``(n,)``.
    :param probabilities: ``(n, K)``, or ``(n,)``: the probability of class 1.
    """
    codes = truth.astype(np.int64)
    if probabilities.ndim == 1:
        chosen = np.where(codes == 1, probabilities, 1 - probabilities)
    else:
        chosen = probabilities[np.arange(len(codes)), codes]
    scores: Array = -np.log(np.clip(chosen, EPSILON, 1.0))
    return scores


def accuracy(truth: Array, predicted: Array) -> Array:
    """Accuracy: 1 where the predicted code is the label."""
    right: Array = (truth == predicted).astype(np.float64)
    return right


def top_k_accuracy(truth: Array, probabilities: Array, k: int) -> Array:
    """1 where the label is among the k most probable classes ``(n, K)``; of equal ones the first counts."""
    codes = truth.astype(np.int64)
    own = probabilities[np.arange(len(codes)), codes][:, None]
    earlier = np.arange(probabilities.shape[1]) < codes[:, None]
    above = ((probabilities > own) | ((probabilities == own) & earlier)).sum(1)
    found: Array = (above < k).astype(np.float64)
    return found


def brier(truth: Array, probability: Array) -> Array:
    """Brier score of a binary task: ``(p_i - y_i)^2``."""
    return np.square(probability - truth)


def auc(truth: Array, score: Array) -> Array:
    """Area under the ROC curve, ties counting 1/2, in O(n log n).

    With n1 positives and n0 negatives: ``a + (n/n1)(V10_i - a)`` for a positive row, ``a + (n/n0)(V01_i - a)`` for a
    negative one, where V is the share of rows of the other class that row i is ranked rightly against.
    """
    positive = truth == 1
    ahead, behind = score[positive], score[~positive]
    if len(ahead) == 0 or len(behind) == 0:
        return np.full(len(truth), np.nan)
    right = np.empty(len(truth))
    right[positive] = _share_below(ahead, behind)
    right[~positive] = _share_below(-behind, -ahead)
    area = right[positive].mean()
    share = np.where(positive, positive.mean(), 1 - positive.mean())
    scores: Array = area + (right - area) / share
    return scores


def _share_below(values: Array, others: Array) -> Array:
    """For every value, the share of ``others`` below it, ties counting 1/2."""
    ordered, order = np.sort(others), np.argsort(values)
    asked = values[order]  # rising questions are answered from the cache
    below = np.empty(len(values))
    below[order] = (np.searchsorted(ordered, asked, "left") + np.searchsorted(ordered, asked, "right")) / 2.0
    return below / len(others)


def f1(truth: Array, predicted: Array) -> Array:
    """F1 of the class 1, linearised; NaN when class 1 is neither true nor predicted anywhere."""
    return _f1_of((truth == 1).astype(np.float64), (predicted == 1).astype(np.float64))


def macro_f1(truth: Array, predicted: Array) -> Array:
    """Mean F1 over the classes that occur in labels or predictions, linearised."""
    classes = np.union1d(truth, predicted)
    total = np.zeros(len(truth))
    for code in classes:
        total += _f1_of((truth == code).astype(np.float64), (predicted == code).astype(np.float64))
    return total / max(1, len(classes))


def _f1_of(truth: Array, predicted: Array) -> Array:
    """``f + (2 tp_i - f d_i) / mean d`` with ``d = 2 tp + fp + fn`` and ``f = 2 mean tp / mean d``."""
    hits, bulk = truth * predicted, truth + predicted
    if not bulk.any():
        return np.full(len(truth), np.nan)
    value = 2 * hits.mean() / bulk.mean()
    scores: Array = value + (2 * hits - value * bulk) / bulk.mean()
    return scores


def quadratic_kappa(truth: Array, predicted: Array) -> Array:
    """Cohen's kappa with quadratic weights, linearised: ``k = 1 - A/E``.

    ``A = mean (y_i - f_i)^2`` and ``E`` is the mean of ``(y_i - f_j)^2`` over all pairs. NaN when E = 0.
    Cohen, Weighted kappa, Psychological Bulletin 1968.
    """
    n = len(truth)
    if n == 0 or min(truth.min(), predicted.min()) == max(truth.max(), predicted.max()):
        return np.full(n, np.nan)
    observed = np.square(truth - predicted)
    # mean_j (y_i - f_j)^2 = (y_i - mean f)^2 + var f, and the same with the roles exchanged
    pairs = np.square(truth - predicted.mean()) + predicted.var() + np.square(predicted - truth.mean()) + truth.var()
    seen, chance = observed.mean(), pairs.mean() / 2
    scores: Array = 1 - seen / chance - (observed - seen) / chance + seen / chance**2 * (pairs - 2 * chance)
    return scores


def over_columns(truth: Array, score: Callable[[int, NDArray[np.bool_]], Array]) -> Array:
    """Mean over columns of a metric taken on each column's own labelled rows, as row scores ``(n,)``.

    ``M + (1/W) sum_c present_ic (n / n_c)(s_ic - m_c)``, where ``M`` is the mean of the column metrics ``m_c``.
    Columns on which the metric is undefined are left out.

    :param truth: ``(n, W)``, NaN where a label is missing.
    :param score: ``score(column, present)``: row scores ``(n_c,)`` of one column over its present rows.
    """
    n, width = truth.shape
    total, columns = np.zeros(n), 0
    for column in range(width):
        present = ~np.isnan(truth[:, column])
        rows = score(column, present) if present.any() else np.full(0, np.nan)
        value = rows.mean() if len(rows) else np.nan
        if np.isnan(value):
            continue
        columns += 1
        total += value
        total[present] += (n / len(rows)) * (rows - value)
    return total / columns if columns else np.full(n, np.nan)
