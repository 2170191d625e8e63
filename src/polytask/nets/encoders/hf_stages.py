"""The stages of a pretrained model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polytask.batch import Features, Inputs
from polytask.errors import DataError
from polytask.nets.encoders.encoder import Part, given
from polytask.nets.encoders.tokens import Pooling, token_rows


class Stem(Part):
    """Inputs -> Features ``(R, L, D)``: the embeddings of a pretrained model.

    :param separator: code between the texts of a pair, whose second text is of type 1; None where types are not told.
    """

    def __init__(self, embeddings: nn.Module, separator: int | None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.separator = separator

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(R, L, D)``."""
        codes, mask = given(inputs), inputs.mask
        if codes.ndim != 2:
            raise DataError("expected codes of pieces (R, L), found words with characters.", where="inputs")
        if mask is None:
            mask = torch.ones_like(codes, dtype=torch.bool)
        return Features(self.embeddings(codes, self._types(codes, mask), mask), mask)

    def _types(self, codes: Tensor, mask: Tensor) -> Tensor:
        """1 behind the first separator."""
        if self.separator is None:
            return torch.zeros_like(codes)
        ends = (codes == self.separator).long()
        return ((ends.cumsum(1) - ends) > 0).long() * mask


class Layer(Part):
    """One layer: Features ``(R, L, D)``, the same shape out."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Features) -> Features:
        """Features ``(R, L, D)``."""
        values, mask = features.values, _mask(features)
        if not values.numel():
            return features
        if self.checkpoint and self.training and torch.is_grad_enabled():
            return Features(checkpoint(self.layer, values, mask, use_reentrant=False), mask)
        return Features(self.layer(values, mask), mask)


class Mixed(Part):
    r"""All layers as one, and a learned mix of their outputs and of the embeddings.

    .. math:: \gamma \sum_l \mathrm{softmax}(w)_l \, h_l

    Peters, Neumann, Iyyer, Gardner, Clark, Lee and Zettlemoyer. Deep contextualized word representations. NAACL 2018.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.weights = nn.Parameter(torch.zeros(len(layers) + 1))
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, features: Features) -> Features:
        """Features ``(R, L, D)``."""
        share = self.weights.softmax(0)
        mixed = share[0] * features.values
        for i, layer in enumerate(self.layers, start=1):
            features = layer(features)
            mixed = mixed + share[i] * features.values
        return Features(self.factor * mixed, features.mask)


class Pool(Part):
    """What follows the last layer, then a vector per window and one per token."""

    def __init__(self, last: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.last = last
        self.pooling = pooling

    def forward(self, features: Features) -> Tensor:
        """``(R + R * L, D)``."""
        return token_rows(Features(self.last(features.values), features.mask), self.pooling)


def _mask(features: Features) -> Tensor:
    if features.mask is None:
        return torch.ones(features.values.shape[:2], dtype=torch.bool, device=features.values.device)
    return features.mask
