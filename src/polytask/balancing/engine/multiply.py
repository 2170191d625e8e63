"""Matrix products by the faster of the two libraries that torch brings for CPUs.

On some processors (AMD's with AVX-512, under torch's builds with Intel's MKL) oneDNN multiplies float32 matrices more
than twice as fast as ``@`` does. Which it is, is measured once per process; the products are as exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

LARGE = 2**21
"""Multiplications from which it is worth asking."""

LEAST = (8, 64)
"""Rows and columns of a product from which oneDNN does well."""

FASTER = 0.75
"""Share of the time of ``@`` that oneDNN must stay below to be used."""


def multiply(X: Tensor, Y: Tensor) -> Tensor:
    """``X Y``: ``(M, K), (K, N) -> (M, N)``, without a graph."""
    is_large = len(X) * Y.numel() >= LARGE and len(X) >= LEAST[0] and Y.shape[1] >= LEAST[1]
    if is_large and X.dtype == Y.dtype == torch.float32 and X.device.type == "cpu" and onednn_share() < FASTER:
        return _by_onednn(_packed(X), _packed(Y))
    return X @ Y


@cache
def onednn_share() -> float:
    """Time of oneDNN's product over that of ``@`` on this processor; 1 where it is not there, or not right."""
    X = torch.sin(torch.arange(256.0 * 512)).view(256, 512)
    Y = torch.cos(torch.arange(512.0 * 256)).view(512, 256)
    try:
        if not torch.allclose(_by_onednn(X, Y), X @ Y, rtol=1e-4, atol=1e-3):
            return 1.0
    except (AttributeError, RuntimeError):  # a build without it
        return 1.0
    times = [(_seconds(_by_onednn, X, Y), _seconds(torch.mm, X, Y)) for _ in range(8)]
    return min(own for own, _ in times) / min(
        blas for _, blas in times
    )  # the fastest of several: others on the machine can only slow one down


def speed(device: torch.device) -> float:
    """Time of :func:`multiply` over that of ``@``, for large matrices."""
    return share if device.type == "cpu" and (share := onednn_share()) < FASTER else 1.0


def _by_onednn(X: Tensor, Y: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(X, Y.t(), None, "none", [], "")
    return found


def _packed(X: Tensor) -> Tensor:
    """The matrix without gaps in memory, over which oneDNN would stumble."""
    return X if X.is_contiguous() or X.t().is_contiguous() else X.contiguous()


def _seconds(product: Callable[[Tensor, Tensor], Tensor], X: Tensor, Y: Tensor) -> float:
    start = time.thread_time()  # of this thread: what others on the machine get does not count
    product(X, Y)
    return time.thread_time() - start
