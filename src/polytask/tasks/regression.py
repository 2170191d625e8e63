"""Numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import ConfigError, DataError, TaskError
from polytask.maths import scores
from polytask.tasks.best_constant import huber_location, weighted_quantile
from polytask.tasks.labels import bad_row, column_of, constant, numbers
from polytask.tasks.task import Answer, Array, Metric, Target, Task
from polytask.tasks.units import Map, Units

_NORMAL_90 = 1.6448536269514722  # Phi^-1(0.95)
_SMALLEST_RANGE = 1e-300  # closer labels cannot be told apart in float64
_LOG_SCALE = 7.0  # the deviation stays within exp(+-7) of the labels' own


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """One number, or a vector of W numbers, standardised on the training rows; predictions are in original units.

    In standard units, averaged over the row's present columns, with error ``u = y - f``: mse ``u^2``, mae ``|u|``,
    huber ``u^2/2`` up to delta and ``delta (|u| - delta/2)`` beyond, gaussian_nll ``log s + u^2 / (2 s^2) +
    log(2 pi)/2``, pinball the mean over quantiles q of ``max(q u, (q - 1) u)``.

    :param transform: of labels before they are standardised. ``"log"``: log y, or log(1 + y) when the training labels
        hold a zero; negative labels are an error. ``"quantile"``: normal scores of the training ranks. Predictions are
        transformed back by the inverse, so with mse they are close to a median rather than a mean.
    :param loss: ``"mse"``, ``"mae"``, ``"huber"`` (Huber, Annals of Mathematical Statistics 1964), ``"gaussian_nll"``
        (predicts mean and deviation; Nix and Weigend, ICNN 1994) or ``"pinball"`` (predicts quantiles; Koenker and
        Bassett, Econometrica 1978). The last two give intervals: mean +- 1.645 deviations (90 %), or the outer
        quantiles. Quantiles are sorted when predicted, so they never cross.
    :param delta: where the huber loss turns linear, in standard units.
    :param quantiles: rising levels in (0, 1) for the pinball loss; 0.5 is the prediction and must be among them.
    """

    transform: Literal["none", "log", "quantile"] = "none"
    loss: Literal["mse", "mae", "huber", "gaussian_nll", "pinball"] = "mse"
    delta: float = 1.0
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)

    vector: ClassVar[bool] = True
    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"transform"}

    def __post_init__(self) -> None:
        place = f"task {self.name!r}"
        object.__setattr__(self, "quantiles", tuple(self.quantiles))
        super().__post_init__()
        if not (np.isfinite(self.delta) and self.delta > 0):
            raise ConfigError(f"delta: expected a number above 0, found {self.delta}.", where=place)
        rising = all(a < b for a, b in zip((0.0, *self.quantiles), (*self.quantiles, 1.0), strict=True))
        if not rising or 0.5 not in self.quantiles or len(self.quantiles) < 3:
            raise ConfigError(
                f"quantiles: expected three or more rising levels in (0, 1) with 0.5, found {self.quantiles}.",
                where=place,
            )
        if self.metric == "coverage":
            raise ConfigError(
                "coverage is no metric to choose by: wider intervals always cover more.",
                where=place,
                do="Use metric='interval_score', which rewards narrow intervals that cover.",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """RMSE (default), MAE, R2, MSE; with intervals also their score and coverage. Vectors: mean over columns."""
        if self.loss not in ("gaussian_nll", "pinball"):
            return POINT_METRICS
        return (*POINT_METRICS, *_interval_metrics(self.coverage))

    @property
    def coverage(self) -> float:
        """The share of labels that the predicted interval is meant to hold."""
        return self.quantiles[-1] - self.quantiles[0] if self.loss == "pinball" else 0.9

    @property
    def per_column(self) -> int:
        """Head outputs per target column: 1, 2 (mean, log deviation) or one per quantile."""
        return {"gaussian_nll": 2, "pinball": len(self.quantiles)}.get(self.loss, 1)

    def fit(self, labels: pl.DataFrame) -> RegressionTarget:
        """Transform, mean and scale of every column.

        :raises TaskError: a column is constant or all missing.
        :raises DataError: text, infinite values, or negative labels under a log.
        """
        raw = [numbers(column_of(labels, column, self.name), self.name) for column in self.columns]
        units = tuple(self._units(labels, column, y) for column, y in zip(self.columns, raw, strict=True))
        standard = np.column_stack([u.forward(y) for u, y in zip(units, raw, strict=True)])
        present = ~np.isnan(standard)
        share = 1 / np.maximum(present.sum(1), 1)  # a row's loss is the mean over its present columns
        start = [self._best_constant(standard[m, c], share[m]) for c, m in enumerate(present.T)]
        return RegressionTarget(self, units, tuple(v for column in start for v in column))

    def _units(self, labels: pl.DataFrame, column: str, values: Array) -> Units:
        known = values[~np.isnan(values)]
        place = f"task {self.name!r}, column {column!r}"
        if len(known) == 0:
            raise TaskError("every label is missing in the training rows.", where=place, do="Leave this task out.")
        if known.max() - known.min() < _SMALLEST_RANGE:
            raise constant(known[0], place)
        choice: Map = "identity" if self.transform == "none" else "quantile"
        if self.transform == "log":
            refuse_below(labels[column], values, 0.0, self.name)
            choice = "log" if known.min() > 0 else "log1p"
        units = Units.fit(known, choice)
        if units.scale == 0:  # the log of nearly equal labels
            raise constant(known[0], place)
        return units

    def _best_constant(self, values: Array, weights: Array) -> list[float]:
        if self.loss == "mae":
            return [weighted_quantile(values, weights, 0.5)]
        if self.loss == "huber":
            return [huber_location(values, weights, self.delta)]
        if self.loss == "pinball":
            return [weighted_quantile(values, weights, q) for q in self.quantiles]
        mean = float(np.average(values, weights=weights))
        if self.loss == "mse":
            return [mean]
        deviation = float(np.sqrt(np.average(np.square(values - mean), weights=weights)))
        return [mean, _LOG_SCALE * float(np.arctanh(np.clip(np.log(deviation) / _LOG_SCALE, -0.999, 0.999)))]

    def restore(self, learned: Mapping[str, Any]) -> RegressionTarget:
        """The target again from what it learned."""
        return RegressionTarget(self, tuple(Units.restore(u) for u in learned["units"]), tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, G, K), (N, G, W) -> (N, G)`` in standard units; K = W times :attr:`per_column`."""
        truth = targets.nan_to_num(0.0)[..., None]
        losses = self._column_losses(outputs.reshape(*targets.shape, self.per_column), truth)
        if targets.shape[-1] == 1:
            return losses[..., 0]
        present = (~targets.isnan()).to(losses.dtype)
        return (losses * present).sum(-1) / present.sum(-1).clamp(min=1)

    def _column_losses(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """``(..., W, per_column), (..., W, 1) -> (..., W)``."""
        if self.loss == "gaussian_nll":
            mean, log_scale = outputs[..., 0], _log_deviation(outputs[..., 1])
            error = (truth[..., 0] - mean) * torch.exp(-log_scale)
            return log_scale + error.square() / 2 + 0.5 * float(np.log(2 * np.pi))
        error = truth - outputs
        if self.loss == "pinball":
            tau = torch.tensor(self.quantiles, dtype=error.dtype, device=error.device)
            return torch.maximum(tau * error, (tau - 1) * error).mean(-1)
        error = error[..., 0]
        if self.loss == "mse":
            return error.square()
        if self.loss == "mae":
            return error.abs()
        near = error.abs().clamp(max=self.delta)
        return near * (error.abs() - near / 2)

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Squared distance to what the teacher puts out, in standard units; there is nothing to soften."""
        return (outputs - teacher).square().mean(-1)


@dataclass(frozen=True)
class RegressionTarget(Target):
    """A regression task and the units of its columns.

    :param units: one per target column.
    :param start: outputs of the best constant predictor, column by column.
    """

    task: Regression
    units: tuple[Units, ...]
    start: tuple[float, ...]

    @property
    def outputs(self) -> int:
        """W times the outputs per column."""
        return len(self.start)

    @property
    def width(self) -> int:
        """W: target columns."""
        return len(self.units)

    def learned(self) -> dict[str, Any]:
        """Units and start."""
        return {"units": [u.saved() for u in self.units], "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """Standard units, NaN where missing: ``(N, W)``."""
        encoded = np.empty((len(labels), self.width), np.float32)
        for c, (column, units) in enumerate(zip(self.task.columns, self.units, strict=True)):
            series = column_of(labels, column, self.task.name)
            values = numbers(series, self.task.name)
            if units.map in ("log", "log1p"):
                refuse_below(series, values, 0.0, self.task.name, zero=units.map == "log1p")
            encoded[:, c] = units.forward(values)
        return torch.from_numpy(encoded)

    def truth(self, encoded: Tensor) -> Array:
        """Original units ``(n, W)``; NaN where a column is missing."""
        return self._backward(encoded.double().cpu().numpy())

    def _backward(self, standard: Array) -> Array:
        return np.stack([u.backward(standard[:, c]) for c, u in enumerate(self.units)], 1)

    def bias(self) -> Tensor:
        """The mean, median, quantiles or mean and log deviation of the standardised training labels."""
        return torch.tensor(self.start, dtype=torch.float32)

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``value`` ``(n, W)`` in original units; with intervals ``low`` and ``high``; pinball: every ``q_<level>``."""
        raw = outputs.detach().double().cpu().reshape(len(outputs), self.width, self.task.per_column)
        if self.task.loss == "gaussian_nll":
            mean, deviation = raw[..., 0].numpy(), torch.exp(_log_deviation(raw[..., 1])).numpy()
            low, high = mean - _NORMAL_90 * deviation, mean + _NORMAL_90 * deviation
            return {"value": self._backward(mean), "low": self._backward(low), "high": self._backward(high)}
        if self.task.loss != "pinball":
            return {"value": self._backward(raw[..., 0].numpy())}
        ordered = raw.sort(-1).values.numpy()
        at = {q: self._backward(ordered[..., i]) for i, q in enumerate(self.task.quantiles)}
        low, high = at[self.task.quantiles[0]], at[self.task.quantiles[-1]]
        return {"value": at[0.5], "low": low, "high": high} | {f"q_{q:g}": values for q, values in at.items()}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The number, and the ends of its interval where the loss gives one."""
        table: dict[str, list[Any] | NDArray[Any]] = {}
        for c, column in enumerate(self.task.columns):
            table[column] = answer["value"][:, c]
            table |= {f"{column}_{end}": answer[end][:, c] for end in ("low", "high") if end in answer}
        return table


def refuse_below(series: pl.Series, values: Array, least: float, task: str, *, zero: bool = True) -> None:
    """Refuse labels below ``least``, or equal to it when ``zero`` is False.

    :raises DataError: with the first such row.
    """
    bad = values < least if zero else values <= least
    if bad.any():
        raise _log_error(series, bad, task, zero)


def _log_error(series: pl.Series, bad: NDArray[np.bool_], task: str, zero: bool) -> DataError:
    expected = "a number of at least 0" if zero else "a number above 0, as all training labels were"
    return bad_row(series, pl.Series(bad), expected, task, "Use transform='quantile' or 'none' for these labels.")


def _log_deviation(raw: Tensor) -> Tensor:
    """The log of the deviation, within +-7 and close to ``raw`` near 0: no row can make the loss explode."""
    return _LOG_SCALE * torch.tanh(raw / _LOG_SCALE)


def _metric(name: str, higher: bool, best: float | None, rows: Callable[[Array, Array], Array]) -> Metric:
    def score(answer: Answer, truth: Array) -> Array:
        values = answer["value"]
        return scores.over_columns(truth, lambda c, present: rows(truth[present, c], values[present, c]))

    return Metric(name, higher, score, best)


def _interval_metrics(coverage: float) -> tuple[Metric, ...]:
    def interval_score(answer: Answer, truth: Array) -> Array:
        low, high = answer["low"], answer["high"]
        return scores.over_columns(
            truth, lambda c, m: scores.interval_score(truth[m, c], low[m, c], high[m, c], coverage)
        )

    def covered(answer: Answer, truth: Array) -> Array:
        low, high = answer["low"], answer["high"]
        return scores.over_columns(truth, lambda c, m: scores.covered(truth[m, c], low[m, c], high[m, c]))

    return Metric("interval_score", False, interval_score, 0.0), Metric("coverage", True, covered, None)


POINT_METRICS = (
    _metric("rmse", False, 0.0, scores.rmse),
    _metric("mae", False, 0.0, scores.absolute_error),
    _metric("r2", True, 1.0, scores.r2),
    _metric("mse", False, 0.0, scores.squared_error),
)
