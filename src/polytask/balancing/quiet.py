"""A second look at a batch that leaves no trace in the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def quiet(*modules: nn.Module) -> Iterator[None]:
    """Run forward passes whose effect on buffers (running statistics) is undone afterwards.

    >>> import torch
    >>> norm = nn.BatchNorm1d(2)
    >>> with quiet(norm):
    ...     out = norm(torch.randn(5, 2) + 7)
    >>> norm.running_mean, norm.num_batches_tracked
    (tensor([0., 0.]), tensor(0))
    """
    kept = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.data.copy_(before)  # not in place for autograd: an earlier pass may have saved this very buffer
