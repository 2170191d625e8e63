"""How pretrained models are taken apart, family by family: embeddings, layers, and what follows the last layer.

Every layer becomes a module from values ``(R, L, D)`` and a mask ``(R, L)`` to values, whatever its own signature; what
all layers of a model share (relative positions) is copied into each, so that layers can be taken out, copied and mixed.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Family(ABC):
    """The parts of one kind of model.

    :param network: class of transformers that is loaded. :param attention: its attention: fused, or its own code.
    """

    network: str
    attention: str = "sdpa"
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed; arguments of the class

    @abstractmethod
    def embeddings(self, model: Any) -> nn.Module:
        """``(codes (R, L), types (R, L), mask (R, L)) -> (R, L, D)``."""

    @abstractmethod
    def layers(self, model: Any) -> list[nn.Module]:
        """``(values (R, L, D), mask (R, L)) -> (R, L, D)`` each."""

    def last(self, model: Any) -> nn.Module:
        """What the values of the last layer pass."""
        return nn.Identity()


class Bert(Family):
    """BERT and those of the same build: RoBERTa, XLM-RoBERTa, CamemBERT."""

    options = {"add_pooling_layer": False}  # noqa: RUF012

    def __init__(self, network: str = "BertModel") -> None:
        self.network = network

    def embeddings(self, model: Any) -> nn.Module:
        """Words, positions and types."""
        return Embedded(model.embeddings)

    def layers(self, model: Any) -> list[nn.Module]:
        """The layers of the encoder."""
        return [Masked(layer) for layer in model.encoder.layer]


class Electra(Bert):
    """ELECTRA: embeddings may be narrower than layers."""

    options = {}  # noqa: RUF012

    def embeddings(self, model: Any) -> nn.Module:
        """Embeddings, widened where they are narrow."""
        widen = model.embeddings_project if model.config.embedding_size != model.config.hidden_size else nn.Identity()
        return Embedded(model.embeddings, widen)


class DistilBert(Family):
    """DistilBERT: no types."""

    network = "DistilBertModel"

    def embeddings(self, model: Any) -> nn.Module:
        """Words and positions."""
        return CodesAlone(model.embeddings, nn.Identity())

    def layers(self, model: Any) -> list[nn.Module]:
        """The layers of the transformer."""
        return [Masked(layer) for layer in model.transformer.layer]


class DebertaV2(Family):
    """DeBERTa v2 and v3: vectors of relative positions, which all layers share there; here every layer has its own."""

    network = "DebertaV2Model"
    attention = "eager"

    def embeddings(self, model: Any) -> nn.Module:
        """Words, and types if there are several; padding is zero."""
        return EmbeddedWithMask(model.embeddings)

    def layers(self, model: Any) -> list[nn.Module]:
        """The layers; a convolution beside the first in some sizes."""
        encoder = model.encoder
        return [Disentangled(encoder, layer, first=i == 0) for i, layer in enumerate(encoder.layer)]


class ModernBert(Family):
    """ModernBERT: rotary positions, and windows in most layers."""

    network = "ModernBertModel"

    def embeddings(self, model: Any) -> nn.Module:
        """Words and a norm."""
        return CodesAlone(model.embeddings, nn.Identity())

    def layers(self, model: Any) -> list[nn.Module]:
        """The layers, each with the rotation of its positions."""
        return [Rotary(layer, model.rotary_emb, model.config) for layer in model.layers]

    def last(self, model: Any) -> nn.Module:
        """The final norm."""
        return model.final_norm  # type: ignore[no-any-return]  # transformers has no types here


class T5(Family):
    """The encoder of T5: a table of relative positions in the first layer, which all share; here each has its own."""

    network = "T5EncoderModel"

    def __init__(self, network: str = "T5EncoderModel") -> None:
        self.network = network

    def embeddings(self, model: Any) -> nn.Module:
        """Words."""
        return CodesAlone(model.encoder.embed_tokens, model.encoder.dropout)

    def layers(self, model: Any) -> list[nn.Module]:
        """The blocks."""
        first = model.encoder.block[0].layer[0].SelfAttention
        return [Biased(block, first) for block in model.encoder.block]

    def last(self, model: Any) -> nn.Module:
        """The final norm and dropout."""
        return nn.Sequential(model.encoder.final_layer_norm, model.encoder.dropout)


FAMILIES: dict[str, Family] = {
    "bert": Bert(),
    "roberta": Bert("RobertaModel"),
    "xlm-roberta": Bert("XLMRobertaModel"),
    "camembert": Bert("CamembertModel"),
    "electra": Electra("ElectraModel"),
    "distilbert": DistilBert(),
    "deberta-v2": DebertaV2(),
    "modernbert": ModernBert(),
    "t5": T5(),
    "mt5": T5("MT5EncoderModel"),
}
"""``model_type`` of config.json -> how its models are taken apart."""


class Embedded(nn.Module):
    """Embeddings of codes and types."""

    def __init__(self, embeddings: nn.Module, widen: nn.Module | None = None) -> None:
        super().__init__()
        self.embeddings, self.widen = embeddings, widen or nn.Identity()

    def forward(self, codes: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        found: Tensor = self.widen(self.embeddings(input_ids=codes, token_type_ids=types))
        return found


class EmbeddedWithMask(Embedded):
    """The same; padding is zero."""

    def forward(self, codes: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        found: Tensor = self.embeddings(input_ids=codes, token_type_ids=types, mask=mask.to(torch.long))
        return found


class CodesAlone(nn.Module):
    """Embeddings of codes."""

    def __init__(self, embeddings: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.after = embeddings, after

    def forward(self, codes: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        found: Tensor = self.after(self.embeddings(codes))
        return found


class Masked(nn.Module):
    """A layer that is given which tokens to attend to."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        return _values(self.layer(values, mask[:, None, None]))


class Disentangled(nn.Module):
    """A layer of DeBERTa with the vectors of relative positions."""

    def __init__(self, encoder: Any, layer: nn.Module, *, first: bool) -> None:
        super().__init__()
        self.layer = layer
        self.positions = copy.deepcopy(encoder.rel_embeddings) if encoder.relative_attention else None
        self.norm = copy.deepcopy(encoder.LayerNorm) if "layer_norm" in encoder.norm_rel_ebd else nn.Identity()
        self.conv = encoder.conv if first else None

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        pairs = mask[:, None, None] & mask[:, None, :, None]
        positions = None if self.positions is None else self.norm(self.positions.weight)
        found = _values(self.layer(values, pairs, rel_embeddings=positions))
        if self.conv is not None:
            found = self.conv(values, found, mask.to(torch.long))
        return found


class Rotary(nn.Module):
    """A layer of ModernBERT with the rotation of its positions, and the window that it looks through."""

    def __init__(self, layer: Any, rotary: nn.Module, config: Any) -> None:
        super().__init__()
        self.layer = layer
        self.rotary = copy.deepcopy(rotary)
        self.kind = str(layer.attention_type)
        self.reach = int(config.sliding_window) if self.kind == "sliding_attention" else 0

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        place = torch.arange(values.shape[1], device=values.device)
        seen = mask[:, None, None]
        if self.reach:
            seen = seen & ((place[:, None] - place).abs() <= self.reach) | _itself(mask)
        rotation = self.rotary(values, place[None], self.kind)
        return _values(self.layer(values, attention_mask=seen, position_embeddings=rotation))


class Biased(nn.Module):
    """A block of T5 with the table of relative positions."""

    def __init__(self, block: nn.Module, first: Any) -> None:
        super().__init__()
        self.block = block
        attention: Any = block.layer[0].SelfAttention  # type: ignore[index, union-attr]
        attention.relative_attention_bias = copy.deepcopy(first.relative_attention_bias)
        attention.has_relative_attention_bias = True

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """``(R, L, D)``."""
        return _values(self.block(values, mask[:, None, None]))


def _itself(mask: Tensor) -> Tensor:
    """Padding sees itself: attention to nothing is not a number. ``(R, 1, L, L)``."""
    return (torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device) & ~mask[:, :, None])[:, None]


def _values(found: Any) -> Tensor:
    """Some layers put out values alone, others a tuple that begins with them."""
    values: Tensor = found[0] if isinstance(found, tuple) else found
    return values
