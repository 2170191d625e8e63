"""The losses of one step, read and checked at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from polytask.batch import TaskLosses
from polytask.errors import TrainingError, UserError

Losses: TypeAlias = Mapping[str, Tensor | None] | TaskLosses
"""One scalar per task by name (None: the task is absent from the batch), or names with one ``(T,)`` tensor."""


def read(losses: Losses) -> tuple[tuple[str, ...], Tensor]:
    """Names and values ``(T,)`` of the present tasks.

    :raises UserError: no loss at all, a loss that is not a scalar, or one that no gradient can flow from.
    """
    if isinstance(losses, TaskLosses):
        names, values = losses.names, losses.values
        if values.shape != (len(names),):
            raise UserError(f"expected {len(names)} losses in a tensor of shape (T,), found {tuple(values.shape)}.")
    else:
        present = {name: loss for name, loss in losses.items() if loss is not None}
        for name, loss in present.items():
            _check_scalar(name, loss)
        names = tuple(present)
        values = torch.stack(list(present.values())) if names else torch.empty(0)
    if not names:
        raise UserError(
            "expected the loss of at least one task, found none.",
            do="Skip the step when no row of the batch carries a label.",
        )
    if not values.requires_grad:
        raise UserError(
            f"expected losses that depend on parameters, found values without gradient for {', '.join(names)}.",
            do="Compute the losses outside torch.no_grad() and do not detach them.",
        )
    return names, values


def _check_scalar(name: str, loss: Tensor) -> None:
    where = f"task {name!r}"
    if not isinstance(loss, Tensor):
        raise UserError(f"expected a loss as a scalar tensor, found {type(loss).__name__}.", where=where)
    if loss.ndim:
        raise UserError(
            f"expected a scalar loss, found the shape {tuple(loss.shape)}.",
            where=where,
            do="Take .mean() over the rows.",
        )
    if not loss.requires_grad:
        raise UserError(
            "expected a loss that depends on parameters, found a constant.",
            where=where,
            do="Leave the task out (or pass None) when it is absent from the batch; do not detach its loss.",
        )


def check(names: tuple[str, ...], values: Tensor, *, positive: bool, method: str) -> None:
    """Values ``(T,)`` must be finite, and above 0 if the method's formula is defined there only.

    :raises TrainingError: naming the tasks. One read-back from the device; nothing more when all is well.
    """
    fine = math.isfinite(float(values.sum())) and not (positive and not bool((values > 0).all()))
    if fine:
        return
    found = dict(zip(names, values.tolist(), strict=True))
    wild = {name: loss for name, loss in found.items() if not math.isfinite(loss)}
    if wild:
        raise TrainingError(
            f"expected finite losses, found {_listing(wild)}.",
            where=_tasks(wild),
            do="Leave the task out of this step (the training loop of Polytask skips and counts it), or lower the "
            "learning rate.",
        )
    low = {name: loss for name, loss in found.items() if loss <= 0}
    if positive and low:
        raise TrainingError(
            f"the balancer {method!r} needs losses above 0, found {_listing(low)}.",
            where=_tasks(low),
            do="Use a loss that is positive (a mean squared error, a cross-entropy), add a constant that keeps it "
            "above 0, or choose a balancer without this need, such as 'equal' or 'dwa'.",
        )


def _tasks(found: Mapping[str, float]) -> str:
    return ("task " if len(found) == 1 else "tasks ") + ", ".join(map(repr, found))


def _listing(found: Mapping[str, float]) -> str:
    return ", ".join(f"{loss:.6g}" for loss in found.values())
