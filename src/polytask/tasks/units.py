"""Monotone maps between the units of a numeric target and standard units (mean 0, deviation 1 on the training rows)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]
Map: TypeAlias = Literal["identity", "log", "log1p", "quantile"]

_KNOTS = 1000
_LARGEST_LOG = 300.0  # exp of it squares without overflow


@dataclass(frozen=True)
class Units:
    """``z = (g(y) - mean) / scale``, and back.

    :param map: g: identity, ``log y``, ``log(1 + y)``, or normal scores of the training ranks.
    :param values: knots of the quantile map in the units of the target, rising.
    :param scores: their normal scores, rising. Between knots both ways are linear; beyond the ends they go on with
        the mean slope, so that no value is lost.
    """

    map: Map
    mean: float
    scale: float
    values: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    @staticmethod
    def fit(values: Array, choice: Map) -> Units:
        """Learn the map from finite training labels; the scale is 0 where they all fall together."""
        knots, normal = _normal_scores(values) if choice == "quantile" else ((), ())
        mapped = Units(choice, 0.0, 1.0, knots, normal).forward(values)
        low, span = float(mapped.min()), float(mapped.max() - mapped.min())
        share = (mapped - low) / (span or 1.0)  # neither huge labels overflow, nor digits of a large mean get lost
        return Units(choice, low + span * float(share.mean()), span * float(share.std()), knots, normal)

    @staticmethod
    def restore(saved: Mapping[str, Any]) -> Units:
        """From what :meth:`saved` gave."""
        return Units(
            saved["map"], saved["mean"], saved["scale"], tuple(saved.get("values", ())), tuple(saved.get("scores", ()))
        )

    def saved(self) -> dict[str, Any]:
        """As JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v != ()}

    def forward(self, values: Array) -> Array:
        """Standard units of labels; NaN stays NaN."""
        if self.map == "log":
            values = np.log(values)
        elif self.map == "log1p":
            values = np.log1p(values)
        elif self.map == "quantile":
            values = _through(values, np.asarray(self.values), np.asarray(self.scores))
        return (values - self.mean) / self.scale

    def backward(self, standard: Array) -> Array:
        """Labels from standard units."""
        mapped = standard * self.scale + self.mean
        if self.map == "log":
            return np.exp(np.minimum(mapped, _LARGEST_LOG))
        if self.map == "log1p":
            return np.expm1(np.minimum(mapped, _LARGEST_LOG))
        if self.map == "quantile":
            return _through(mapped, np.asarray(self.scores), np.asarray(self.values))
        return mapped


def _normal_scores(values: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most 1,000 knots: distinct training values, and the normal quantiles of their mean ranks."""
    distinct, counts = np.unique(values, return_counts=True)
    share = (np.cumsum(counts) - counts / 2) / counts.sum()
    normal = torch.special.ndtri(torch.from_numpy(share)).numpy()
    if len(distinct) > _KNOTS:
        wanted = np.linspace(normal[0], normal[-1], _KNOTS // 2)  # dense in the tails, and
        ranks = np.linspace(share[0], share[-1], _KNOTS // 2)  # dense where the rows are
        chosen = np.union1d(np.searchsorted(normal, wanted), np.searchsorted(share, ranks))
        chosen = np.union1d(np.clip(chosen, 0, len(distinct) - 1), [0, len(distinct) - 1]).astype(np.int64)
        distinct, normal = distinct[chosen], normal[chosen]
    return tuple(distinct.tolist()), tuple(normal.tolist())


def _through(x: Array, start: Array, end: Array) -> Array:
    """Piecewise-linear from knots ``start`` to knots ``end``, going on with the mean slope outside."""
    slope = (end[-1] - end[0]) / (start[-1] - start[0])
    inside: Array = np.interp(x, start, end)
    outside: Array = slope * (np.minimum(x - start[0], 0) + np.maximum(x - start[-1], 0))
    return inside + outside
