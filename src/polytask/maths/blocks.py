"""Sums over very long rows, in blocks: one float32 product over ten million numbers is off by 1e-3, blocks by 1e-6."""

from __future__ import annotations

import torch
from torch import Tensor

CACHED, LAUNCHED = 2**14, 2**22
"""Columns of a block: what stays in the cache of a CPU; enough for one kernel of any other device."""


def blocks(X: Tensor) -> tuple[Tensor, ...]:
    """Views of some thousand columns each, of a row ``(P,)`` or of rows ``(T, P)``."""
    size = CACHED if X.device.type == "cpu" else LAUNCHED
    parts: tuple[Tensor, ...] = torch.split(X, size, dim=-1)  # torch leaves it untyped
    return parts


def lengths(X: Tensor) -> Tensor:
    """Euclidean lengths of the rows: ``(T, P) -> (T,)`` in float64."""
    parts = [torch.linalg.vector_norm(block, dim=1) for block in blocks(X)]
    whole: Tensor = torch.linalg.vector_norm(torch.stack(parts).double(), dim=0)  # torch leaves it untyped
    return whole


def products(X: Tensor, y: Tensor) -> Tensor:
    """Inner products of the rows with one vector: ``(T, P), (P,) -> (T,)`` in float64."""
    return torch.stack([block @ part for block, part in zip(blocks(X), blocks(y), strict=True)]).double().sum(0)
