"""Inner products of long rows, exact enough to balance by."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from polytask.balancing.engine.multiply import multiply

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


def combined(weights: Tensor, B: Tensor) -> Tensor:
    """``sum_t w_t B_t``: ``(T,), (T, ...) -> (...)``."""
    return (weights.to(B.dtype) @ B.reshape(len(B), -1)).view(B.shape[1:])


def wide(x: Tensor) -> Tensor:
    """Half precision as float32: products of 16-bit numbers are too coarse to balance by."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def outer(A: Tensor, B: Tensor) -> Tensor:
    """The weight gradients ``B_t^T A`` of all tasks: ``(N, I), (T, N, O) -> (T, O, I)``."""
    T, N, width = B.shape
    if width < 128:  # one product with the tasks side by side in its rows is faster for narrow layers
        return multiply(B.transpose(0, 1).reshape(N, T * width).T, A).view(T, width, -1)
    room = A.new_empty(T, width, A.shape[1])
    for t in range(T):
        room[t] = multiply(B[t].T, A)
    return room


def slices(N: int) -> int:
    """Into how many row blocks :func:`ghost` cuts N rows, so that it needs only one half of the symmetric matrix."""
    return 4 if N >= 512 else 2 if N >= 128 else 1


def ghost(A: Tensor, B: Tensor) -> Tensor:
    """The Gramian of ``B_t^T A`` without these matrices: ``(N, I), (T, N, O) -> (T, T)`` float64.

    ``G_st = sum_nm (A A^T)_nm <B_s[n], B_t[m]>``: cheaper than the weight gradients where N is below their size.
    """
    T, N, width = B.shape
    cuts = [N * i // slices(N) for i in range(slices(N) + 1)]
    half = torch.zeros(T, T, dtype=torch.float64, device=B.device)
    for start, stop in pairwise(cuts):
        K = multiply(A[start:stop], A[start:].T)
        K[:, : stop - start] *= 0.5
        room = B.new_empty(T, stop - start, width)
        for t in range(T):
            room[t] = multiply(K, B[t, start:])
        half += inner(B[:, start:stop].reshape(T, -1), room.view(T, -1))
    return half + half.T


def ghost_cost(T: int, N: int, inputs: int, outputs: int) -> float:
    """Multiplications of :func:`ghost`."""
    share = (slices(N) + 1) / (2 * slices(N))
    return share * N * N * (inputs + T * outputs) + T * T * N * outputs


def outer_cost(T: int, N: int, inputs: int, outputs: int) -> float:
    """Multiplications of :func:`outer` and of the inner products of its rows."""
    return T * N * inputs * outputs + T * T * inputs * outputs
