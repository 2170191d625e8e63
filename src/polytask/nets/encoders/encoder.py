"""The contract of an encoder: a sequence of stages from the inputs to one vector per row.

A way of sharing is written once, over stages, and works with every encoder. What it may rely on:

- ``stem`` turns inputs into features and holds what is tied to the columns (embeddings, bins, tokens).
- ``blocks`` map features to features. Every block's output has the same shape; only the first may change the shape
  of what it is given (an MLP's first layer). So copies of a block can be mixed (cross-stitch), gated (experts),
  masked (attention) or skipped, and tasks may be attached after any block.
- ``pool`` turns the output of any block into one vector of ``width`` numbers per row. Of texts it makes a vector per
  window, then one per token, ``(R + R * L, D)``: to a way of sharing all of them are rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError
from polytask.tokens.tokenizer import Tokenizer


class Stages(nn.Module):
    """An encoder that was built: ``pool(blocks(stem(inputs)))``.

    :param stem: Inputs -> Features.
    :param blocks: each Features -> Features; all outputs of equal shape.
    :param pool: Features -> ``(N, width)``, after any block.
    :param channels: channels of the stem's output; every block's output has ``width`` of them.
    :param width: D, numbers per row of the result.
    :param stackable: blocks and pool keep all weights in layers of ``polytask.nets.stacked_layers``, and their own code
        does not mind one more leading dimension of the values: n copies then run as one without ``torch.vmap``.
    :param per_token: the pool puts out a vector per window and one per token. What a way of sharing decides by row it
        then decides for each of them.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        pool: nn.Module,
        *,
        channels: int,
        width: int,
        stackable: bool = False,
        per_token: bool = False,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.pool = pool
        self.channels = channels
        self.width = width
        self.stackable = stackable
        self.per_token = per_token

    def forward(self, inputs: Inputs) -> Tensor:
        """The representation of every row: ``(N, width)``."""
        features: Features = self.stem(inputs)
        for block in self.blocks:
            features = block(features)
        pooled: Tensor = self.pool(features)
        return pooled


class Part(nn.Module):
    """A stem or block that is a large network of its own, such as a layer of a pretrained model.

    Copies of it run one after another: ``torch.vmap`` need not know what it does, its kernels stay fused, and nothing
    is gained where one copy keeps the device busy.

    :param lr_scale: factor on the learning rate of its weights.
    :param checkpoint: run it anew in the backward pass, in place of keeping what is inside it.
    """

    lr_scale: float = 1.0
    checkpoint: bool = False


@dataclass(frozen=True)
class Encoder(ABC):
    """Hyperparameters of an encoder. Subclasses add fields and are listed in ``polytask.nets.encoders.ENCODERS``."""

    paper: ClassVar[Paper | None] = None
    reads: ClassVar[Literal["columns", "maps", "sequences", "text"]] = "columns"
    """What of the inputs it reads."""

    @property
    def pooled_pieces(self) -> Literal["first", "mean"]:
        """What the vector of a word is made of, for encoders of texts: its first piece, or the mean of all."""
        return "first"

    def tokenizer(self) -> Tokenizer | None:
        """What cuts texts into the tokens that it reads; None for encoders of anything else."""
        return None

    def restored(self) -> Encoder:
        """An encoder that builds the same stages for weights that are at hand: it reads no file to start from."""
        return self

    @abstractmethod
    def build(self, spec: InputSpec) -> Stages:
        """Fresh stages for these columns; weights are drawn from torch's global generator.

        :raises polytask.errors.DataError: the table has no feature column, or the inputs are of another kind.
        """


def given(inputs: Inputs) -> Tensor:
    """The values of inputs that are maps or sequences.

    :raises polytask.errors.DataError: there are none.
    """
    if inputs.values is None:
        raise DataError("expected maps or sequences (Inputs.values), found columns alone.", where="inputs")
    return inputs.values


class Values(nn.Module):
    """The pool of encoders whose features are vectors already: Features ``(N, D)`` -> ``(N, D)``."""

    def forward(self, features: Features) -> Tensor:
        """The values."""
        return features.values


def check(
    encoder: Encoder, *, positive: tuple[str, ...] = (), share: tuple[str, ...] = (), natural: tuple[str, ...] = ()
) -> None:
    """Check hyperparameters: ``positive`` ones are at least 1, ``natural`` ones at least 0, ``share`` ones in [0, 1).

    :raises polytask.errors.ConfigError: with the name of the field.
    """
    for name in positive:
        if getattr(encoder, name) < 1:
            raise ConfigError(f"expected at least 1, found {getattr(encoder, name)}.", where=name)
    for name in natural:
        if getattr(encoder, name) < 0:
            raise ConfigError(f"expected at least 0, found {getattr(encoder, name)}.", where=name)
    for name in share:
        if not 0 <= getattr(encoder, name) < 1:
            raise ConfigError(f"expected a share from 0 to below 1, found {getattr(encoder, name)}.", where=name)
