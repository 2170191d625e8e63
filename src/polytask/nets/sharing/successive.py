"""Successive regularisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snapshot(nn.Module):
    r"""A module's parameters as they were: :math:`\theta'` of the penalty :math:`\lVert \theta - \theta' \rVert^2`.

    It lies in buffers, so that a training that was stopped within an epoch goes on from the same snapshot.
    """

    at: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("at", torch.tensor(-1.0))
        for i, parameter in enumerate(module.parameters()):
            self.register_buffer(f"value_{i}", parameter.detach().clone())

    def take(self, module: nn.Module, progress: float) -> None:
        """Remember the parameters as they are, unless those of this progress are remembered already."""
        if float(self.at) < progress:
            self.at.fill_(progress)
            for i, parameter in enumerate(module.parameters()):
                self.get_buffer(f"value_{i}").copy_(parameter.detach())

    def distance(self, module: nn.Module) -> Tensor:
        r""":math:`\lVert \theta - \theta' \rVert^2`."""
        now = list(module.parameters())
        then = [self.get_buffer(f"value_{i}") for i in range(len(now))]
        return torch.stack([squared_distance(a, b) for a, b in zip(now, then, strict=True)]).sum()


def squared_distance(now: Tensor, before: Tensor) -> Tensor:
    r""":math:`\lVert \theta - \theta' \rVert^2` of one tensor."""
    return (now - before).square().sum()
