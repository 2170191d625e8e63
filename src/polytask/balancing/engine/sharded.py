"""Task gradients of a trunk whose parameters are cut into shards, one per process (FSDP2).

The recorded graph leads to whole parameters that exist for a moment only; what is known about sharding happens in hooks
of FSDP, when ordinary backward passes arrive there. So there are T of them, each leaves its shard of the averaged
gradient in ``.grad``, and a process holds its part of every row of the Jacobian. Only the T x T Gramian is exchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.balancing.contract import Method, Weigher
from polytask.balancing.engine.engine import Way
from polytask.balancing.engine.gathered import gramian_of
from polytask.balancing.engine.sequential import seeds_for
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given
from polytask.errors import UserError


def is_sharded(sinks: Sequence[Tensor]) -> bool:
    """Whether any of the tensors is a shard; who has one has imported what takes a second to import."""
    room = sys.modules.get("torch.distributed.tensor")
    return room is not None and any(isinstance(sink, room.DTensor) for sink in sinks)


def check(sinks: Sequence[Tensor], method: Method, way: Way, *, on_part: bool) -> None:
    """Refuse what cannot be had from shards.

    :raises UserError: with what to do instead.
    """
    if way.ranks is None:
        raise UserError(
            "the shared parameters are sharded over processes, and the processes are not given.",
            where="ranks",
            do="Pass ranks=Ranks(size, mean) to backward.",
        )
    if not all(is_sharded([sink]) for sink in sinks):
        raise UserError("expected all shared parameters to be sharded, found some that are not.", where="shared")
    if not isinstance(method, Weigher) or on_part:
        what = (
            "weights from a part of the rows" if on_part else f"{type(method).__name__}, which needs whole gradients,"
        )
        raise UserError(
            f"{what} cannot be had where every process holds a part of each gradient.",
            where="shared",
            do='Use Balancer(..., on="features"), or shard by DistributedDataParallel instead.',
        )


@dataclass(frozen=True)
class Shards:
    """What this process holds of the task gradients.

    :param gramian: ``(T, T)`` float64, of the whole gradients.
    :param matrix: ``(T, p)``, this process's part of the rows, times the factors of the way.
    """

    sinks: Sequence[Tensor]
    gramian: Tensor
    matrix: Tensor

    def deliver(self, weights: Tensor) -> None:
        """Add this process's part of ``J^T w`` to ``.grad``."""
        row = weights.to(self.matrix) @ self.matrix
        sizes = [_local(sink).numel() for sink in self.sinks]
        for sink, part in zip(self.sinks, torch.split(row, sizes), strict=True):
            if sink.grad is None:
                sink.grad = torch.zeros_like(sink)
            _local(sink.grad).add_(part.view_as(_local(sink)).to(sink.dtype))


def gather(losses: Given, sinks: Sequence[Tensor], way: Way) -> Shards:
    """T backward passes; what they add to ``.grad`` of everything else, the plain gradients of heads, stays there."""
    factor = way.factor * way.scale
    before = [sink.grad for sink in sinks]
    rows = []
    try:
        for t in range(len(losses)):
            for sink in sinks:
                sink.grad = None
            parts, seeds = seeds_for(losses, t, factor)
            torch.autograd.backward(parts, seeds, retain_graph=t < len(losses) - 1)
            rows.append(torch.cat([_row(sink) for sink in sinks]))
    finally:
        for sink, gradient in zip(sinks, before, strict=True):
            sink.grad = gradient
    matrix = torch.stack(rows)
    products = gramian_of(matrix)
    if way.ranks is not None:
        products = way.ranks.mean(products) * way.ranks.size
    return Shards(sinks, products / factor**2, matrix)


def reuse(losses: Given, weights: Tensor, way: Way) -> None:
    """A step with weights that are known already: one weighted pass, then one of the heads alone."""
    factor = way.factor * way.scale
    leaves = [leaf for leaf, _ in Survey(losses, ()).others]
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    parts, seeds = seeds_for(losses, None, factor)
    each = [weights] if losses.is_vector else weights.unbind()
    weighted = [seed * weight.to(seed.dtype) for seed, weight in zip(seeds, each, strict=True)]
    torch.autograd.backward(parts, weighted, retain_graph=True)
    heads = [leaf for leaf in leaves if leaf.grad is not None]  # FSDP has taken away those of its own parameters
    for leaf, gradient in zip(leaves, before, strict=True):
        leaf.grad = gradient
    if heads:
        torch.autograd.backward(parts, seeds, inputs=heads)


def _local(tensor: Tensor) -> Tensor:
    """The part that this process holds."""
    found: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]  # of a DTensor
    return found


def _row(sink: Tensor) -> Tensor:
    local = _local(sink).new_zeros(_local(sink).shape) if sink.grad is None else _local(sink.grad)
    return local.flatten()
