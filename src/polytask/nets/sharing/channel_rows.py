"""Features as rows of channels: one view for vectors, tokens and maps of T tasks.

A layer that maps channels (a 1×1 convolution) is a linear layer on rows, and a batch norm counts rows. Tokens that are
not real make no row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.batch import Features


@dataclass(frozen=True)
class Rows:
    """Rows of channels, and the way back.

    :param values: ``(T, R, D)``: R is N for vectors, the real tokens for sequences, N * H * W for maps.
    :param origin: the features that they come from.
    """

    values: Tensor
    origin: Features

    @classmethod
    def of(cls, features: Features) -> Rows:
        """The rows of stacked features: values ``(T, N, D)``, ``(T, N, L, D)`` or ``(T, N, D, H, W)``."""
        values = channels_last(features.values)
        if features.mask is not None and values.ndim == 4:
            return cls(values[:, features.mask], features)
        return cls(values if values.ndim == 3 else values.flatten(1, -2), features)

    def restored(self, values: Tensor) -> Features:
        """Features of other rows ``(T', R, D')`` in the place of these; tokens that are not real are 0."""
        origin = self.origin.values
        if self.origin.mask is not None and origin.ndim == 4:
            whole = values.new_zeros(len(values), *origin.shape[1:-1], values.shape[-1])
            whole[:, self.origin.mask] = values
            return Features(whole, self.origin.mask)
        shape = channels_last(origin).shape[1:-1]
        return Features(channels_first(values.reshape(len(values), *shape, values.shape[-1])), self.origin.mask)


def channels_last(values: Tensor) -> Tensor:
    """Stacked maps ``(T, N, D, H, W)`` as ``(T, N, H, W, D)``; all else as it is."""
    return values.movedim(2, -1) if values.ndim == 5 else values


def channels_first(values: Tensor) -> Tensor:
    """The way back from :func:`channels_last`."""
    return values.movedim(-1, 2) if values.ndim == 5 else values


def side_by_side(values: Tensor) -> Tensor:
    """The channels of all tasks in one row: ``(T, R, D) -> (R, T * D)``."""
    return torch.cat(values.unbind(), -1)
