"""What encoders of texts put out: one vector per window, then one per token, as rows that ways of sharing know."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from polytask.batch import Features

Pooling: TypeAlias = Literal["first", "mean"]


def token_rows(features: Features, pooling: Pooling = "mean") -> Tensor:
    """Windows, then all their tokens: ``(..., R, L, D) -> (..., R + R * L, D)``.

    :param pooling: a window is its first token, or the mean of its real tokens (0 where there is none).

    >>> values = torch.tensor([[[1.0], [3.0]], [[5.0], [9.0]]])
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> token_rows(Features(values, mask)).flatten().tolist()
    [2.0, 5.0, 1.0, 3.0, 5.0, 9.0]
    """
    values = features.values
    if pooling == "first":
        windows = values[..., 0, :]
    elif features.mask is None:
        windows = values.mean(-2)
    else:
        real = features.mask[..., None].to(values.dtype)
        windows = (values * real).sum(-2) / real.sum(-2).clamp(min=1)
    return torch.cat([windows, values.flatten(-3, -2)], -2)


class TokenRows(nn.Module):
    """The pool of encoders of texts; see :func:`token_rows`."""

    def __init__(self, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, features: Features) -> Tensor:
        """Features ``(R, L, D) -> (R + R * L, D)``; with any leading dimensions."""
        return token_rows(features, self.pooling)
