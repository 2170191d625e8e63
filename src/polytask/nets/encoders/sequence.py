"""What encoders of sequences share: the stem that reads tokens, and the mean over real tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.errors import DataError
from polytask.nets.encoders.encoder import given


class TokenStem(nn.Module):
    """Inputs -> Features ``(N, L, width)``: an embedding of token codes, or a linear layer on vectors.

    :param spec: of sequences: ``shape`` is ``(L,)`` with a vocabulary, or ``(L, D)``.
    :param positions: add sines and cosines of the position (Vaswani et al. Attention is all you need. NeurIPS 2017).
    :raises polytask.errors.DataError: the inputs are no sequences.
    """

    def __init__(self, spec: InputSpec, width: int, *, positions: bool = False) -> None:
        super().__init__()
        if len(spec.shape) != (1 if spec.vocabulary else 2):
            raise DataError(
                "expected sequences of codes (shape (L,) and a vocabulary) or of vectors (shape (L, D)), found "
                + (f"values of shape {spec.shape}." if spec.shape else "columns of a table."),
                where="encoder",
                do="Give the network Inputs.of(sequences), or choose an encoder of columns ('mlp') or maps ('conv').",
            )
        self.read: nn.Module = (
            nn.Embedding(spec.vocabulary, width) if spec.vocabulary else nn.Linear(spec.shape[1], width)
        )
        self.positions = positions

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(N, L, width)``."""
        values: Tensor = self.read(given(inputs))
        if self.positions:
            values = values + position_code(values.shape[-2], values.shape[-1], values)
        return Features(values, inputs.mask)


def position_code(length: int, width: int, like: Tensor) -> Tensor:
    r"""``(L, D)``: :math:`\sin(l / 10000^{2i/D})` in columns 2i, the cosine in columns 2i + 1."""
    column = torch.arange(width, device=like.device)
    rate = torch.exp((column - column % 2) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=like.device)[:, None] * rate
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)


class TokenMean(nn.Module):
    """The mean over real tokens: Features ``(N, L, D) -> (N, D)``; 0 where there is none."""

    def forward(self, features: Features) -> Tensor:
        """``(N, D)``."""
        if features.mask is None:
            return features.values.mean(-2)
        real = features.mask[..., None].to(features.values.dtype)
        return (features.values * real).sum(-2) / real.sum(-2).clamp(min=1)
