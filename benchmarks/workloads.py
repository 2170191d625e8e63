"""Trunks, heads and batches that the benchmarks of balancing run on.

    python benchmarks/balancing.py

One MLP trunk, one residual network and one transformer; T linear heads with ten classes each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.balancing.quiet import quiet


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norms[1](self.two(self.norms[0](self.one(x)).relu()))
        return functional.relu(inner + self.short(x))


class Attention(nn.Module):
    """A pre-norm transformer layer with attention written out."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        shape = (rows, length, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.norms[0](x)).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return x + self.down(functional.gelu(self.up(self.norms[1](x))))


class Pool(nn.Module):
    """The mean over tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def mlp() -> nn.Module:
    widths = [64, 512, 512, 512, 512]
    pairs = pairwise(widths)
    return nn.Sequential(*(m for i, o in pairs for m in (nn.Linear(i, o), nn.ReLU())))


def resnet() -> nn.Module:
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    shapes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    return nn.Sequential(*stem, *(Block(*shape) for shape in shapes), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def transformer() -> nn.Module:
    return nn.Sequential(*(Attention(256) for _ in range(4)), nn.LayerNorm(256), Pool())


WORKLOADS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "tiny": (lambda: nn.Linear(4, 4), (8, 4), 4),
    "mlp256": (mlp, (256, 64), 512),
    "mlp16": (mlp, (16, 64), 512),
    "transformer4": (transformer, (4, 64, 256), 256),
    "transformer16": (transformer, (16, 64, 256), 256),
    "resnet32": (resnet, (32, 3, 32, 32), 128),
}


@dataclass
class Problem:
    """A trunk, T heads and a batch."""

    trunk: nn.Module
    heads: nn.ModuleList
    x: Tensor
    y: Tensor
    z: Tensor

    @classmethod
    def of(cls, workload: str, T: int) -> Problem:
        torch.manual_seed(0)
        make, shape, width = WORKLOADS[workload]
        heads = nn.ModuleList([nn.Linear(width, 10) for _ in range(T)])
        return cls(make(), heads, torch.randn(shape), torch.randint(10, (T, shape[0])), torch.empty(0))

    def losses(self) -> dict[str, Tensor]:
        for parameter in (*self.trunk.parameters(), *self.heads.parameters()):
            parameter.grad = None
        self.z = self.trunk(self.x)
        return {f"t{t}": functional.cross_entropy(head(self.z), self.y[t]) for t, head in enumerate(self.heads)}

    def part(self, rows: Tensor) -> dict[str, Tensor]:
        """Losses of some rows, computed anew."""
        with quiet(self.trunk):
            z = self.trunk(self.x[rows])
        return {f"t{t}": functional.cross_entropy(head(z), self.y[t][rows]) for t, head in enumerate(self.heads)}
