"""Numbers: standardised, heavy tails tamed, missing values at the mean with a flag beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.data.cells import numbers_of
from polytask.data.columns.column import Column
from polytask.data.options import SchemaOptions

Floats = NDArray[np.float64]
HEAVY_KURTOSIS = 10.0
"""Excess kurtosis above which ``"auto"`` takes the signed logarithm; an exponential has 6, a log-normal 111."""
KNOTS = 513


@dataclass(frozen=True)
class Numeric(Column):
    """``z = clip((f(x) - mean) / scale)``; a missing or infinite ``x`` gives 0, and 1 in the flag beside it.

    :param mean, scale: of ``f(x)`` over the training rows.
    :param flag: whether a missing flag is written: when a training value was missing.
    :param transform: ``f``: ``"none"``; ``"log"``: ``sign(u) log(1 + |u|)`` with ``u = (x - centre) / spread``;
        ``"quantile"``: linear interpolation from ``knots`` to their normal ``scores``.
    :param edges: inner edges of the piecewise-linear bins, in units of ``z``.
    """

    name: str
    mean: float
    scale: float
    flag: bool = False
    transform: Literal["none", "log", "quantile"] = "none"
    centre: float = 0.0
    spread: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    clip: float = 10.0
    edges: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """The number, and its missing flag."""
        return 1 + self.flag

    @property
    def inner_edges(self) -> tuple[tuple[float, ...], ...]:
        """The edges of the number; none for the flag."""
        return (self.edges, ())[: self.width]

    def encode(self, series: pl.Series, offset: int = 0) -> NDArray[np.float32]:
        """``(N, 1)`` or ``(N, 2)`` float32: the standardised number and its missing flag."""
        x = numbers_of(series, offset)
        missing = ~np.isfinite(x)
        out = np.empty((len(x), self.width), np.float32)
        with np.errstate(over="ignore"):  # values far outside the training range end at the clip
            z = (self.bend(np.where(missing, self.centre, x)) - self.mean) / self.scale
        out[:, 0] = np.where(missing, 0.0, np.clip(z, -self.clip, self.clip))
        if self.flag:
            out[:, 1] = missing
        return out

    def describe(self) -> str:
        """Scaling and flag in words."""
        how = {"none": "standardised", "log": "heavy tails: signed log, standardised", "quantile": "normal scores"}
        return f"numeric, {how[self.transform]}{', with a missing flag' if self.flag else ''}"

    def bend(self, x: Floats) -> Floats:
        """``f(x)``."""
        if self.transform == "log":
            return _signed_log(x, self.centre, self.spread)
        if self.transform == "quantile":
            return np.interp(x, self.knots, self.scores)
        return x


def fit_numeric(name: str, values: Floats, options: SchemaOptions) -> Numeric | None:
    """What the training values teach; None if they are constant (or all missing) and nothing is learned from them.

    A constant with gaps is kept: whether the value is there is information.

    :param values: ``(N,)``, NaN where missing.
    """
    finite = values[np.isfinite(values)]
    flag = len(finite) < len(values)
    if len(finite) == 0:
        return None
    if finite.min() == finite.max():
        return Numeric(name, float(finite[0]), 1.0, flag=True, centre=float(finite[0])) if flag else None
    column = _bending(name, finite, options)
    bent = column.bend(finite)
    mean, scale = _mean_and_scale(bent)
    edges = _edges((bent - mean) / scale, options) if options.bins else ()
    return replace(column, mean=mean, scale=scale, flag=flag, edges=edges)


def _bending(name: str, finite: Floats, options: SchemaOptions) -> Numeric:
    """The column with its transform alone: mean 0 and scale 1."""
    plain = Numeric(name, 0.0, 1.0, centre=float(finite[0]), clip=options.clip)
    if options.numeric == "quantile":
        knots, scores = _normal_scores(finite)
        return replace(plain, transform="quantile", knots=tuple(knots.tolist()), scores=tuple(scores.tolist()))
    two_values = bool(np.isin(finite, (finite.min(), finite.max())).all())  # a rare 1 among 0 is no tail
    if options.numeric == "auto" and not two_values and _kurtosis(finite) > HEAVY_KURTOSIS:
        centre, spread = _robust(finite)
        return replace(plain, transform="log", centre=centre, spread=spread)
    return plain


def _mean_and_scale(x: Floats) -> tuple[float, float]:
    """Mean and standard deviation without overflow; the scale is 1 where rounding leaves no spread."""
    unit = float(np.abs(x).max()) or 1.0
    mean, scale = float(np.mean(x / unit)) * unit, float(np.std(x / unit)) * unit
    return mean, scale if scale > 0 else 1.0


def _kurtosis(x: Floats) -> float:
    mean, scale = _mean_and_scale(x)
    return float(np.mean((x / scale - mean / scale) ** 4)) - 3.0


def _robust(x: Floats) -> tuple[float, float]:
    """Median, and the interquartile range of a normal's units; the mean distance where half the values are equal."""
    low, centre, high = (float(q) for q in np.quantile(x, (0.25, 0.5, 0.75)))
    spread = high / 1.349 - low / 1.349
    if spread <= 0:
        unit = float(np.abs(x).max())
        spread = float(np.mean(np.abs(x / unit - centre / unit))) * unit
    return centre, spread if spread > 0 else 1.0


def _signed_log(x: Floats, centre: float, spread: float) -> Floats:
    u = x / spread - centre / spread
    return np.asarray(np.sign(u) * np.log1p(np.abs(u)))


def _normal_scores(x: Floats) -> tuple[Floats, Floats]:
    """Distinct training quantiles and the normal scores of their mean levels."""
    count = min(KNOTS, len(x))
    levels = (np.arange(count) + 0.5) / count
    quantiles = np.quantile(x, levels, method="inverted_cdf")
    knots, group = np.unique(quantiles, return_inverse=True)
    mean_level = np.bincount(group, levels) / np.bincount(group)
    normal = NormalDist()
    return knots, np.array([normal.inv_cdf(level) for level in mean_level])


def _edges(z: Floats, options: SchemaOptions) -> tuple[float, ...]:
    levels = np.arange(1, options.bins or 0) / (options.bins or 1)
    inner = np.unique(np.quantile(np.clip(z, -options.clip, options.clip), levels))
    inside = inner[(inner > z.min()) & (inner < z.max())]
    return tuple(float(edge) for edge in inside)
