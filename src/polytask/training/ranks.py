"""Several processes, one update: sums and gradients over all ranks, exact for any subset of labels.

Every rank takes its share of the rows of the same batch (``Batches`` deals them out). A task's loss is the mean over
its labelled rows on *all* ranks, so the ranks add up losses and labelled rows before anyone divides. Balancers on all
ranks see the same values and the same tasks and give the same weights; gradients are averaged *after* balancing. That
is why the model is not wrapped in ``DistributedDataParallel``, which would average them before.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn


def is_first_process() -> bool:
    """Whether this process speaks for all: the only one, or the one of rank 0."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return os.environ.get("LOCAL_RANK", "0") == "0"  # a child of Fabric's launcher before or after it joined


def sum_over_ranks(fabric: Fabric, tensor: Tensor) -> Tensor:
    """The sum of a tensor over all ranks; no gradient flows through it."""
    if fabric.world_size == 1:
        return tensor
    total = fabric.all_reduce(tensor.detach().clone(), reduce_op="sum")
    if not isinstance(total, Tensor):
        raise TypeError(f"all_reduce gave a {type(total).__name__}")
    return total


def average_gradients(fabric: Fabric, model: nn.Module) -> None:
    """Replace the gradients by their mean over all ranks, in one message.

    A parameter without gradient here takes part with zeros if it has one elsewhere, and keeps None otherwise.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    here = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    used = sum_over_ranks(fabric, here).tolist()
    shared = [p for p, count in zip(parameters, used, strict=True) if count]
    if not shared:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in shared])
    mean = sum_over_ranks(fabric, flat) / fabric.world_size
    for parameter, part in zip(shared, torch.split(mean, [p.numel() for p in shared]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def average_buffers(fabric: Fabric, model: nn.Module) -> None:
    """Replace what the model remembers of batches by its mean over all ranks, in one message.

    Running statistics of norms and running units of losses come from the rows of one rank. Left alone they would make
    as many models as there are ranks, of which one is saved. Constants, which no state has, take no part.
    """
    saved = model.state_dict().keys()
    buffers = [buffer for name, buffer in model.named_buffers() if name in saved and buffer.is_floating_point()]
    if not buffers:
        return
    flat = torch.cat([buffer.flatten().double() for buffer in buffers])  # what is equal already stays as it is
    mean = sum_over_ranks(fabric, flat) / fabric.world_size
    for buffer, part in zip(buffers, torch.split(mean, [b.numel() for b in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))


def with_value(graded: Tensor, value: Tensor) -> Tensor:
    """The number ``value`` with the gradient of ``graded``: ``graded + (value - graded).detach()`` without rounding."""
    seen: Tensor = _WithValue.apply(graded, value)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return seen


class _WithValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, graded: Tensor, value: Tensor) -> Tensor:
        return value.detach().clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
