"""Scoring the model on the validation rows at the end of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lightning_fabric import Fabric
from torch import Tensor

from polytask.data.table import Table
from polytask.nets.model import Model
from polytask.tasks.task import Target
from polytask.training.scoring import diagnostics_of, forward_scored, metric_value


@dataclass(frozen=True)
class ValidationScores:
    """What the validation rows say about a model, by task. NaN where a task has no labels there.

    :param losses: in the unit of each task.
    :param metrics: main metric of each task.
    :param diagnostics: what the way of sharing says of itself on these rows.
    :param gains: relative gain over the constant predictor: ``1 - loss / its loss`` or ``1 - error / its error``.
    """

    losses: dict[str, float]
    metrics: dict[str, float]
    gains: dict[str, float]
    diagnostics: dict[str, float] = field(default_factory=dict)


class Validator:
    """Scores a model on the same rows again and again.

    :param table: the validation rows; None: every score is NaN.
    :param units: task -> unit of its loss.
    :param select_by: what the gains are computed from; a task whose metric has no error scale (or a constant predictor
        without error) is judged by its loss.
    """

    def __init__(
        self,
        table: Table | None,
        targets: Sequence[Target],
        units: Mapping[str, float],
        select_by: Literal["loss", "metric"],
    ) -> None:
        self.table = table if table is not None and len(table) else None
        self.targets = {target.task.name: target for target in targets}
        self.units = units
        self.encoded = {} if self.table is None else {name: self.table.labels(name) for name in self.targets}
        self.constant_losses = {name: self.targets[name].reference_loss(rows) for name, rows in self.encoded.items()}
        self.constant_errors = (
            {name: self._constant_error(name) for name in self.encoded} if select_by == "metric" else {}
        )

    def __call__(self, model: Model, fabric: Fabric) -> ValidationScores:
        """Scores of the model as it is now. All ranks score all rows; the first one's numbers count."""
        if self.table is None:
            unknown = dict.fromkeys(self.targets, math.nan)
            return ValidationScores(unknown, unknown, unknown)
        outputs, losses = forward_scored(model, self.table, fabric)
        metrics = {name: metric_value(self.targets[name], outputs[name], rows) for name, rows in self.encoded.items()}
        gains = {name: self._gain(name, losses[name], metrics[name]) for name in self.targets}
        in_units = {name: loss / self.units[name] for name, loss in losses.items()}
        scores = ValidationScores(in_units, metrics, gains, diagnostics_of(model, self.table, fabric))
        return scores if fabric.world_size == 1 else fabric.broadcast(scores)

    def _gain(self, name: str, loss: float, metric: float) -> float:
        by_error = self.constant_errors.get(name, math.nan)
        if by_error > 0:
            return 1 - self.targets[name].task.main_metric.error(metric) / by_error
        constant = self.constant_losses[name]
        return (constant - loss) / max(abs(constant), 1e-12)

    def _constant_error(self, name: str) -> float:
        rows, target = self.encoded[name], self.targets[name]
        if not isinstance(rows, Tensor):  # no answer at all: the worst value of accuracies, F1 and attachment scores
            return target.task.main_metric.error(0.0)
        constant = target.bias().float().expand(len(rows), target.outputs)
        return target.task.main_metric.error(metric_value(target, constant, rows))
