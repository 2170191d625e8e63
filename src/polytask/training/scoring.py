"""A model on the rows of a table: outputs, losses, metrics, and gains over the constant predictor."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from lightning_fabric import Fabric
from torch import Tensor

from polytask.batch import Ragged
from polytask.data.table import Table
from polytask.nets.model import Model
from polytask.tasks.task import Target, labelled

ROWS = 4096
"""Rows of one forward pass without gradients."""


Answers = dict[str, Tensor | Ragged]
"""What the heads put out for all rows, by task: ``(N, K)``, or a list per row for words and lists."""


def forward_rows(model: Model, table: Table, fabric: Fabric | None = None) -> Answers:
    """Head outputs of every task for all rows, on the CPU. The model is left in ``eval`` mode."""
    return _forward(model, table, fabric, None)


def forward_scored(model: Model, table: Table, fabric: Fabric) -> tuple[Answers, dict[str, float]]:
    """Head outputs of every task for all rows, and the mean loss of every task over its labels (NaN without any).

    Losses of rows come from the outputs; those of words and lists must be taken while their outputs are there.
    """
    sums = torch.zeros(2, len(model.tasks), dtype=torch.float64)
    answers = _forward(model, table, fabric, sums)
    means = (sums[0] / model.scale.cpu().double() / sums[1]).tolist()
    losses = dict(zip(model.tasks, means, strict=True))
    for target in model.targets:
        name = target.task.name
        outputs, encoded = answers[name], table.labels(name)
        if isinstance(outputs, Tensor) and isinstance(encoded, Tensor):
            losses[name] = mean_loss(target, outputs, encoded)
    return answers, losses


def _forward(model: Model, table: Table, fabric: Fabric | None, sums: Tensor | None) -> Answers:
    """The outputs; the losses of each batch are added to ``sums``, and its labels: ``(2, T)``."""
    model.eval()
    parts: dict[str, list[Tensor | Ragged]] = {name: [] for name in model.tasks}
    numbers: list[Tensor] = []
    with torch.inference_mode():
        for rows, batch in table.by_length(ROWS):
            numbers.append(rows)
            own = batch if fabric is None else batch.to(fabric.device)
            with nullcontext() if fabric is None else fabric.autocast():
                outputs = model(own.inputs)
            if sums is not None and model.has_lists:
                sums += torch.stack([part.detach().double().cpu() for part in model.loss_sums(outputs, own.targets)])
            for name, values in model.answers(outputs).items():
                parts[name].append(on_cpu(values))
    order = torch.cat(numbers)
    if bool((order[1:] > order[:-1]).all()):
        return {name: joined(values) for name, values in parts.items()}
    back = order.argsort()
    return {name: joined(values)[back] for name, values in parts.items()}


def on_cpu(values: Tensor | Ragged) -> Tensor | Ragged:
    """Outputs as float32 on the CPU."""
    if isinstance(values, Ragged):
        return Ragged(values.values.float().cpu(), values.counts.cpu())
    return values.float().cpu()


def joined(parts: Sequence[Tensor | Ragged]) -> Tensor | Ragged:
    """The outputs of all batches."""
    lists = [part for part in parts if isinstance(part, Ragged)]
    return Ragged.cat(lists) if lists else torch.cat([part for part in parts if isinstance(part, Tensor)])


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


def metric_value(target: Target, outputs: Tensor | Ragged, encoded: Tensor | Ragged) -> float:
    """The task's main metric over labelled rows; NaN where it is undefined."""
    rows = labelled(encoded)
    if not rows.any():
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an undefined metric (one class only) is NaN, and no news
        return target.task.main_metric.value(target.answer(outputs[rows]), target.truth(encoded[rows]))
