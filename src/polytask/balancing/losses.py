"""The losses of one step, read and checked at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from polytask.balancing.contract import Evidence, Method, Weigher
from polytask.batch import TaskLosses
from polytask.errors import TrainingError, UserError

Losses: TypeAlias = Mapping[str, Tensor | None] | TaskLosses
"""One scalar per task by name (None: the task is absent from the batch), or names with one ``(T,)`` tensor."""


@dataclass(frozen=True)
class Given:
    """The losses of the present tasks.

    :param names: the T tasks.
    :param parts: T scalars, or one tensor ``(T,)``, as they stand in the graph.
    """

    names: tuple[str, ...]
    parts: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_vector(self) -> bool:
        """Whether the losses came as one tensor."""
        return self.parts[0].ndim == 1

    def values(self) -> Tensor:
        """``(T,)``, with the graph."""
        return self.parts[0] if self.is_vector else torch.stack(self.parts)

    def seen(self) -> Tensor:
        """``(T,)``: what a method may see of them: detached, and float32 at least."""
        values = self.parts[0].detach() if self.is_vector else torch.stack([part.detach() for part in self.parts])
        return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def read(losses: Losses, *, graph: bool = True) -> Given:
    """The losses of the present tasks.

    :param graph: False allows losses without gradient.
    :raises UserError: no loss at all, a loss that is not a scalar, or one that no gradient can flow from.
    """
    if isinstance(losses, TaskLosses):
        names, parts = losses.names, [losses.values]
        if losses.values.shape != (len(names),):
            raise UserError(
                f"expected {len(names)} losses in a tensor of shape (T,), found {tuple(losses.values.shape)}."
            )
    else:
        present = {name: loss for name, loss in losses.items() if loss is not None}
        for name, loss in present.items():
            _check_scalar(name, loss, graph)
        names, parts = tuple(present), list(present.values())
    if not names:
        raise UserError(
            "expected the loss of at least one task, found none.",
            do="Skip the step when no row of the batch carries a label.",
        )
    if graph and not parts[0].requires_grad:
        raise UserError(
            f"expected losses that depend on parameters, found values without gradient for {', '.join(names)}.",
            do="Compute the losses outside torch.no_grad() and do not detach them.",
        )
    return Given(names, tuple(parts))


def _check_scalar(name: str, loss: Tensor, graph: bool) -> None:
    where = f"task {name!r}"
    if not isinstance(loss, Tensor):
        raise UserError(f"expected a loss as a scalar tensor, found {type(loss).__name__}.", where=where)
    if loss.ndim:
        raise UserError(
            f"expected a scalar loss, found the shape {tuple(loss.shape)}.",
            where=where,
            do="Take .mean() over the rows.",
        )
    if graph and not loss.requires_grad:
        raise UserError(
            "expected a loss that depends on parameters, found a constant.",
            where=where,
            do="Leave the task out (or pass None) when it is absent from the batch; do not detach its loss.",
        )


def evidence(given: Given, kpi: Mapping[str, float] | None) -> Evidence:
    """What the losses alone tell a method.

    :param kpi: how well each task is solved; tasks without one are NaN.
    """
    seen = given.seen()
    if kpi is None:
        return Evidence(seen)
    return Evidence(seen, kpi=seen.new_tensor([kpi.get(name, math.nan) for name in given.names]))


def check_part(given: Given, part: Given, method: Method) -> None:
    """Losses of a part of the rows must be of the same tasks, for a method that answers with weights.

    :raises UserError: they are not.
    """
    if part.names != given.names:
        raise UserError(
            f"expected the tasks {', '.join(given.names)}, found {', '.join(part.names)}.",
            where="evidence",
            do="Give the losses of the same tasks in the same order; leave evidence out when a part lacks a task.",
        )
    if not isinstance(method, Weigher):
        raise UserError(
            f"{type(method).__name__} answers with an update instead of weights.",
            where="evidence",
            do="Leave evidence out, or choose a method that answers with weights.",
        )


def check_gradients(names: tuple[str, ...], squares: Tensor) -> None:
    """Task gradients must be finite.

    :param squares: ``(T,)``: their squared lengths.
    :raises TrainingError: naming the tasks.
    """
    wild = ~squares.isfinite()
    if bool(wild.any()):
        raise TrainingError(
            "expected finite task gradients, found NaN or infinity although the losses are finite.",
            where=_tasks(names, wild),
            do="Look for a square root, a norm or a logarithm at 0 in the loss, or leave the task out of this step.",
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
