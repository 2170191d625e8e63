"""Inner products of long rows, exact enough to balance by."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 2**14
"""Numbers that one float32 product adds up. A single product over 10 million is off by 2e-3, in blocks by 1e-6."""


def inner(X: Tensor, Y: Tensor) -> Tensor:
    """``X Y^T`` in float64: ``(T, K), (T, K) -> (T, T)``, in blocks whose sums are added in float64."""
    K = X.shape[1]
    if X.dtype == torch.float64 or K < 4 * BLOCK:
        return (X @ Y.T).double()
    blocks = K // BLOCK
    whole = blocks * BLOCK
    left = X[:, :whole].reshape(len(X), blocks, BLOCK).transpose(0, 1)
    right = Y[:, :whole].reshape(len(Y), blocks, BLOCK).permute(1, 2, 0)
    total = torch.bmm(left, right).sum(0, dtype=torch.float64)
    return total + X[:, whole:] @ Y[:, whole:].T if whole < K else total
