"""How many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import TaskError
from polytask.maths import scores
from polytask.tasks.labels import bad_row, column_of, constant, numbers
from polytask.tasks.task import Answer, Array, Metric, Target, Task

_LARGEST = 30.0  # beyond this log ratio the exponential goes on as its tangent: huge, finite and convex
_LARGEST_LOG = 300.0  # exp of it squares without overflow


@dataclass(frozen=True, kw_only=True)
class Count(Task):
    """Non-negative integers: the head puts out ``z = log m``, the log of the Poisson rate.

    The loss is half the Poisson deviance, ``y log(y/m) - y + m``: the Poisson likelihood, measured from the perfect
    model, so that it is 0 at ``m = y`` and its reference says something about the spread of the counts.

    Nelder and Wedderburn, Generalized linear models, JRSS A 1972.
    """

    def metrics(self) -> tuple[Metric, ...]:
        """Mean Poisson deviance (default), RMSE and MAE of the rate."""
        return COUNT_METRICS

    def fit(self, labels: pl.DataFrame) -> CountTarget:
        """The mean count.

        :raises TaskError: all missing or constant.
        :raises DataError: text, negative numbers or fractions.
        """
        values = counts_of(column_of(labels, self.columns[0], self.name), self.name)
        known = values[~np.isnan(values)]
        place = f"task {self.name!r}, column {self.columns[0]!r}"
        if len(known) == 0:
            raise TaskError("every label is missing in the training rows.", where=place, do="Leave this task out.")
        if np.float32(known.min()) == np.float32(known.max()):  # as the loss will see them
            raise constant(known[0], place)
        return CountTarget(self, float(np.log(known.mean())))

    def restore(self, learned: Mapping[str, Any]) -> CountTarget:
        """The target again from what it learned."""
        return CountTarget(self, learned["start"])

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Half the deviance of every row: ``(N, G, 1), (N, G, 1) -> (N, G)``.

        Written with the log ratio ``r = z - log y`` as ``y (exp(r) - 1 - r)``, which does not cancel for large counts.
        """
        truth, log_rate = targets[..., 0].nan_to_num(0.0), outputs[..., 0]
        positive = truth > 0
        base = torch.where(positive, truth, torch.ones_like(truth))
        ratio = log_rate - base.log()
        growth = torch.expm1(ratio.clamp(max=_LARGEST))
        beyond = (ratio - _LARGEST).clamp(min=0)
        growth = growth + beyond * float(np.exp(_LARGEST))
        return torch.where(positive, base * (growth - ratio), growth + 1)


@dataclass(frozen=True)
class CountTarget(Target):
    """A count task and the log of the mean count."""

    task: Count
    start: float

    outputs = 1
    width = 1

    def learned(self) -> dict[str, Any]:
        """The log of the mean."""
        return {"start": self.start}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """The counts themselves, NaN where missing: ``(N, 1)``."""
        values = counts_of(column_of(labels, self.task.columns[0], self.task.name), self.task.name)
        return torch.from_numpy(values.astype(np.float32))[:, None]

    def truth(self, encoded: Tensor) -> Array:
        """Counts, ``(n, 1)``."""
        return encoded.double().cpu().numpy()

    def bias(self) -> Tensor:
        """The log of the mean count."""
        return torch.tensor([self.start], dtype=torch.float32)

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``rate`` ``(n,)``: the expected count."""
        log_rate = outputs.detach().double()[:, 0].clamp(-_LARGEST_LOG, _LARGEST_LOG)
        return {"rate": log_rate.exp().cpu().numpy()}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The expected count."""
        return {self.task.columns[0]: answer["rate"]}


def counts_of(series: pl.Series, task: str) -> Array:
    """Counts ``(N,)`` as float64, NaN where missing.

    :raises DataError: text, negative numbers or fractions, with the first row.
    """
    values = numbers(series, task)
    bad = (values < 0) | (values != np.floor(values)) & ~np.isnan(values)
    if bad.any():
        raise bad_row(
            series, pl.Series(bad), "a count (0, 1, 2, ...)", task, "Declare it as regression if it is a measurement."
        )
    return values


COUNT_METRICS = (
    Metric("poisson_deviance", False, lambda answer, truth: scores.poisson_deviance(truth[:, 0], answer["rate"]), 0.0),
    Metric("rmse", False, lambda answer, truth: scores.rmse(truth[:, 0], answer["rate"]), 0.0),
    Metric("mae", False, lambda answer, truth: scores.absolute_error(truth[:, 0], answer["rate"]), 0.0),
)
