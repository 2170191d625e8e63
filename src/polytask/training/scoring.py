"""A model on the rows of a table: outputs, losses, metrics, and gains over the constant predictor."""

from __future__ import annotations

import math
import warnings

import torch
from lightning_fabric import Fabric
from torch import Tensor

from polytask.data.table import Table
from polytask.nets.model import Model
from polytask.tasks.task import Target, labelled

ROWS = 4096
"""Rows of one forward pass without gradients."""


def forward_rows(model: Model, table: Table, fabric: Fabric | None = None) -> dict[str, Tensor]:
    """Head outputs of every task for all rows: task -> ``(N, K)`` on the CPU. The model is left in ``eval`` mode."""
    model.eval()
    parts: dict[str, list[Tensor]] = {name: [] for name in model.tasks}
    with torch.inference_mode():
        for batch in table.in_order(ROWS):
            if fabric is None:
                answers = model.answers(model(batch.inputs))
            else:
                with fabric.autocast():
                    answers = model.answers(model(batch.inputs.to(fabric.device)))
            for name, values in answers.items():
                parts[name].append(values.float().cpu())
    return {name: torch.cat(values) for name, values in parts.items()}


def diagnostics_of(model: Model, table: Table, fabric: Fabric, *, rows: int = 1024) -> dict[str, float]:
    """What the way of sharing says of itself on the first rows of a table. The model is left in ``eval`` mode."""
    model.eval()
    inputs = table.batch(torch.arange(min(rows, len(table)))).inputs.to(fabric.device)
    with torch.inference_mode(), fabric.autocast():
        found = model.sharing.diagnostics(model(inputs).representation)
    return {name: float(value) for name, value in found.items()}


def mean_loss(target: Target, outputs: Tensor, encoded: Tensor) -> float:
    """Mean loss over labelled rows; NaN without any.

    :param outputs: ``(N, K)``.
    :param encoded: ``(N, W)``, NaN where missing.
    """
    rows = labelled(encoded)
    if not rows.any():
        return math.nan
    constants = {name: value[None] for name, value in target.constants().items()}
    losses = target.task.row_losses(outputs[rows][:, None], encoded[rows][:, None], constants)
    return float(losses.double().mean())


def metric_value(target: Target, outputs: Tensor, encoded: Tensor) -> float:
    """The task's main metric over labelled rows; NaN where it is undefined."""
    rows = labelled(encoded)
    if not rows.any():
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an undefined metric (one class only) is NaN, and no news
        return target.task.main_metric.value(target.answer(outputs[rows]), target.truth(encoded[rows]))
