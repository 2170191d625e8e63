"""What boosted trees are asked to learn for each kind of task, and what they say in the words of that kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from polytask.tasks.binary import BinaryTarget
from polytask.tasks.count import CountTarget
from polytask.tasks.multiclass import MulticlassTarget
from polytask.tasks.multilabel import MultilabelTarget
from polytask.tasks.ordinal import OrdinalTarget
from polytask.tasks.regression import RegressionTarget
from polytask.tasks.task import Array, Target

Objective = dict[str, Any]

_NORMAL_90 = 1.6448536269514722  # Phi^-1(0.95)


def objectives(target: Target) -> list[Objective]:
    """What LightGBM is asked for, per target column: one set of trees each."""
    if isinstance(target, BinaryTarget | MultilabelTarget):
        return [{"objective": "binary"}]
    if isinstance(target, MulticlassTarget):
        return [{"objective": "multiclass", "num_class": len(target.classes)}]
    if isinstance(target, OrdinalTarget):
        return [{"objective": "multiclass", "num_class": len(target.levels)}]
    if isinstance(target, CountTarget):
        return [{"objective": "poisson"}]
    if isinstance(target, RegressionTarget):
        return _regression(target)
    raise TypeError(f"boosting knows no targets of type {type(target).__name__}")


def _regression(target: RegressionTarget) -> list[Objective]:
    task = target.task
    if task.loss == "pinball":
        return [{"objective": "quantile", "alpha": q} for q in task.quantiles]
    if task.loss == "gaussian_nll":
        return [{"objective": "l2"}, *({"objective": "quantile", "alpha": q} for q in (0.05, 0.95))]
    return [{"objective": "l1" if task.loss == "mae" else "l2"}]


def answer(target: Target, columns: list[Array]) -> dict[str, Array]:
    """Predictions of LightGBM, one per objective and target column, as the target's answer."""
    if isinstance(target, BinaryTarget):
        return {"probability": columns[0]}
    if isinstance(target, MultilabelTarget):
        return {"probabilities": np.stack(columns, 1)}
    if isinstance(target, MulticlassTarget):
        return {"probabilities": columns[0]}
    if isinstance(target, OrdinalTarget):
        level = (columns[0][:, :-1].cumsum(1) < 0.5 - 1e-9).sum(1)
        return {"probabilities": columns[0], "level": level.astype(np.float64)}
    if isinstance(target, CountTarget):
        return {"rate": columns[0]}
    outputs = np.stack(columns, 1)
    if isinstance(target, RegressionTarget) and target.task.loss == "gaussian_nll":
        mean, low, high = outputs.reshape(len(outputs), target.width, 3).transpose(2, 0, 1)
        deviation = np.log(np.maximum(high - low, 1e-6) / (2 * _NORMAL_90))
        outputs = np.stack([mean, deviation], 2).reshape(len(outputs), -1)
    return target.answer(torch.from_numpy(outputs))
