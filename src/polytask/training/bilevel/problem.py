"""Losses of a model at parameters that it does not have, without a trace in the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from polytask.balancing import losses as door
from polytask.balancing.losses import Given, Losses
from polytask.errors import UserError

B = TypeVar("B")
Parameters = dict[str, Tensor]
"""Tensors by the names of the model's trainable parameters."""


@dataclass(frozen=True)
class Problem(Generic[B]):
    """One bilevel step: a model, its losses, a batch for the inner and one for the outer problem.

    Every look runs on copies of the buffers and from the same state of torch's random numbers: running statistics stay
    as they are, and all looks of a step draw the same dropout masks, as a difference between two of them needs.

    :param model: its parameters, gradients and buffers are not changed.
    :param losses: ``losses(model, batch)``: one scalar per task by name (None: absent), or ``TaskLosses``.
    :param optimizer: gives the learning rate, momentum and weight decay of the inner step.
    :param primary: the tasks whose validation losses count; None: all.
    """

    model: nn.Module
    losses: Callable[[nn.Module, B], Losses]
    train_batch: B
    validation_batch: B
    optimizer: Optimizer
    primary: frozenset[str] | None = None

    @property
    def parameters(self) -> Parameters:
        """The trainable parameters of the model themselves."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def train(self, at: Mapping[str, Tensor] | None = None) -> Given:
        """Losses of the training batch at these parameters (None: the model's own)."""
        return door.read(self._look(at, self.train_batch), graph=torch.is_grad_enabled())

    def validation(self, at: Mapping[str, Tensor]) -> Given | None:
        """Losses of the primary tasks in the validation batch; None if it has none of them."""
        found = self._look(at, self.validation_batch)
        if not isinstance(found, Mapping):
            found = dict(zip(found.names, found.values.unbind(), strict=True))
        kept = {name: loss for name, loss in found.items() if self.primary is None or name in self.primary}
        if all(loss is None for loss in kept.values()):
            return None
        return door.read(kept, graph=torch.is_grad_enabled())

    def _look(self, at: Mapping[str, Tensor] | None, batch: B) -> Losses:
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        values = {f"model.{name}": value for name, value in ({} if at is None else dict(at)).items()}
        values |= {f"model.{name}": value for name, value in buffers.items()}
        cuda = sorted({p.device.index for p in self.model.parameters() if p.device.type == "cuda"})
        with torch.random.fork_rng(devices=cuda):
            found: Losses = functional_call(_Asked(self.model, self.losses), values, (batch,))
        return found


class _Asked(nn.Module):
    """Calls the losses from inside a module, so that whatever they do with the model meets the other parameters."""

    def __init__(self, model: nn.Module, losses: Callable[[nn.Module, Any], Losses]) -> None:
        super().__init__()
        self.model = model
        self.losses = losses

    def forward(self, batch: Any) -> Losses:
        return self.losses(self.model, batch)


def gradient(value: Tensor, at: Mapping[str, Tensor], *, graph: bool = False) -> list[Tensor]:
    """The gradient of a scalar, one tensor per parameter; zeros where it does not reach.

    :param graph: keep the graph of ``value`` for more.
    """
    return list(torch.autograd.grad(value, list(at.values()), retain_graph=graph, materialize_grads=True))


def leaves(names: Sequence[str], values: Sequence[Tensor]) -> Parameters:
    """Parameters of a virtual model, to take gradients at."""
    return {name: value.detach().requires_grad_() for name, value in zip(names, values, strict=True)}


def inner_step(problem: Problem[Any], slopes: Sequence[Tensor]) -> tuple[Parameters, list[float]]:
    """The parameters after one virtual step of the optimizer, and the learning rate of each.

    ``theta' = theta - lr (momentum * buffer + slope + weight_decay * theta)``, exact for SGD (without dampening or
    Nesterov), and the step that the authors take for every optimizer.

    :param slopes: the gradient of the weighted training loss, in the order of ``problem.parameters``.
    :raises UserError: a trainable parameter is not in the optimizer.
    """
    groups = {id(p): group for group in problem.optimizer.param_groups for p in group["params"]}
    after, rates = [], []
    for (name, theta), slope in zip(problem.parameters.items(), slopes, strict=True):
        group = groups.get(id(theta))
        if group is None:
            raise UserError(
                "expected every trainable parameter in the optimizer, found one that is not.",
                where=f"parameter {name!r}",
                do="Pass the optimizer of the whole model, or freeze the parameter with requires_grad_(False).",
            )
        lr = float(group["lr"])
        step = slope + group.get("weight_decay", 0.0) * theta.detach()
        buffer = problem.optimizer.state.get(theta, {}).get("momentum_buffer")
        if buffer is not None:
            step = step + group["momentum"] * buffer
        after.append(theta.detach() - lr * step)
        rates.append(lr)
    return leaves(list(problem.parameters), after), rates
