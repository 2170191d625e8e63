"""The losses of one step, read and checked at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from polytask.balancing.contract import Method
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


def check(names: tuple[str, ...], values: Tensor, method: Method, name: str) -> None:
    """Values ``(T,)`` must be finite and in the domain of the method.

    One read-back from the device, two if the domain is bounded; nothing more when all is well.

    :param name: the method's name in messages.
    :raises TrainingError: naming the tasks.
    """
    if math.isfinite(float(values.sum())) and _inside(method, float(values.min()) if method.domain != "any" else 0.0):
        return
    wild = ~values.isfinite()
    if bool(wild.any()):
        raise TrainingError(
            f"expected finite losses, found {_listing(values, wild)}.",
            where=_tasks(names, wild),
            do="Leave the task out of this step (the training loop of Polytask does, and counts it), or lower the "
            "learning rate.",
        )
    low = torch.tensor([not _inside(method, loss) for loss in values.tolist()], device=values.device)
    if bool(low.any()):
        raise TrainingError(
            f"the balancer {name!r} is defined for {method.domain} losses, found {_listing(values, low)}.",
            where=_tasks(names, low),
            do="Choose a loss that stays in this range (a mean squared error, a cross-entropy), leave the task out of "
            "this step, or use a balancer that takes any loss, such as 'equal'.",
        )


def _inside(method: Method, loss: float) -> bool:
    if method.domain == "any":
        return True
    return loss > 0 if method.domain == "positive" else loss >= 0


def _tasks(names: tuple[str, ...], which: Tensor) -> str:
    found = [repr(name) for name, bad in zip(names, which.tolist(), strict=True) if bad]
    return ("task " if len(found) == 1 else "tasks ") + ", ".join(found)


def _listing(values: Tensor, which: Tensor) -> str:
    return ", ".join(f"{loss:.6g}" for loss in values[which].tolist())
