"""Pictures of the errors of a model in bins of its predictions, as plain numbers for a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polytask.evaluation.scores import labelled_rows
from polytask.tasks.task import Answer, Array, Target

BINS = 10

_Z = 1.959963984540054  # Phi^-1(0.975)


@dataclass(frozen=True)
class Curve:
    """Bins of equal mass along the prediction, one entry per bin.

    Calibration: ``x`` mean predicted probability, ``y`` observed share. Residual: ``x`` mean prediction, ``y`` mean
    of truth minus prediction, in units of the label.

    :param n: rows in the bin. :param low: lower end of the 95 % band around y. :param high: upper end.
    """

    kind: Literal["calibration", "residual"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    n: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def diagnostics(target: Target, answer: Answer, encoded: Tensor, *, bins: int = BINS) -> dict[str, Curve]:
    """One curve per target column: calibration of probabilities, residuals of numbers.

    For several classes the probability is that of the most probable class and the share is how often it is right.

    :param answer: what ``target.answer(outputs)`` gave for N rows. :param encoded: their labels ``(N, W)``.
    :param bins: at most this many; equal predictions share a bin.
    :returns: empty for answers that are neither probabilities nor numbers, and columns without labels left out.
    """
    given, truth, _ = labelled_rows(target, answer, encoded)
    found: dict[str, Curve] = {}
    for place, column in enumerate(target.task.columns):
        present = ~np.isnan(truth[:, place])
        curve = _curve({key: v[present] for key, v in given.items()}, truth[present], place, bins)
        if curve is not None:
            found[column] = curve
    return found


def calibration(probability: Array, hit: Array, *, bins: int = BINS) -> Curve:
    """Reliability curve with Wilson's interval of each share.

    :param probability: ``(n,)`` predicted. :param hit: ``(n,)`` 0 or 1, what happened.

    Wilson. Probable Inference, the Law of Succession, and Statistical Inference. JASA 1927.
    """
    index = _bins(probability, bins)
    n = np.bincount(index)
    x, y = np.bincount(index, probability) / n, np.bincount(index, hit) / n
    centre = (y + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(y * (1 - y) / n + _Z**2 / (4 * n**2))
    return _as_curve("calibration", (x, y, n, centre - half, centre + half))


def residuals(prediction: Array, truth: Array, *, bins: int = BINS) -> Curve:
    """Mean of truth minus prediction along the prediction, with the normal interval of each mean.

    :param prediction: ``(n,)``. :param truth: ``(n,)``. A bin of one row has no spread: its band is the point.
    """
    index = _bins(prediction, bins)
    n = np.bincount(index)
    error = truth - prediction
    x, y = np.bincount(index, prediction) / n, np.bincount(index, error) / n
    spread = np.bincount(index, np.square(error - y[index])) / np.maximum(n - 1, 1)
    half = _Z * np.sqrt(spread / n)
    return _as_curve("residual", (x, y, n, y - half, y + half))


def _curve(answer: Answer, truth: Array, place: int, bins: int) -> Curve | None:
    """The curve of one target column, all rows labelled; None when the answer has no such picture."""
    if len(truth) == 0:
        return None
    own = truth[:, place]
    if "probability" in answer:
        return calibration(answer["probability"], own, bins=bins)
    if "probabilities" in answer:
        shares = answer["probabilities"]
        if shares.shape == truth.shape:  # one yes-or-no probability per column
            return calibration(shares[:, place], own, bins=bins)
        return calibration(shares.max(1), (shares.argmax(1) == own).astype(np.float64), bins=bins)
    number = answer.get("value", answer.get("rate"))
    return None if number is None else residuals(number.reshape(len(truth), -1)[:, place], own, bins=bins)


def _bins(prediction: Array, bins: int) -> NDArray[np.intp]:
    """Bin of each row ``(n,)``, numbered without gaps; edges at quantiles, equal predictions together."""
    edges = np.unique(np.quantile(prediction, np.arange(1, bins) / bins))
    return np.unique(np.searchsorted(edges, prediction, "left"), return_inverse=True)[1].reshape(-1)


def _as_curve(kind: Literal["calibration", "residual"], columns: tuple[NDArray[Any], ...]) -> Curve:
    x, y, n, low, high = (column.tolist() for column in columns)
    return Curve(kind, tuple(x), tuple(y), tuple(map(int, n)), tuple(low), tuple(high))
