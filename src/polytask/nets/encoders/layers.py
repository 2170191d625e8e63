"""Norms and activations, by name where encoders of tables choose among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

Activation: TypeAlias = Literal["relu", "gelu", "silu", "selu", "tanh"]
Norm: TypeAlias = Literal["none", "layer", "batch"]

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
}


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that survives a batch of one row.

    The statistics of one row say nothing, so the running ones are used and left alone.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that torch gives it
        """``(N, D) -> (N, D)``."""
        if self.training and len(input) == 1:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class MapNorm(nn.BatchNorm2d):
    """Batch normalisation of maps that survives a single pixel, and no row at all; see :class:`BatchNorm`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that torch gives it
        """``(N, D, H, W) -> (N, D, H, W)``."""
        if self.training and input.numel() <= input.shape[1]:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
}
