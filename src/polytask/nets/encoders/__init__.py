"""Encoders by configuration name."""

from polytask.catalogue import Catalogue
from polytask.nets.encoders.conv import Conv
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.encoders.ft_transformer import FTTransformer
from polytask.nets.encoders.gru import GRU
from polytask.nets.encoders.hf import HF
from polytask.nets.encoders.mlp import MLP
from polytask.nets.encoders.resnet import ResNet
from polytask.nets.encoders.transformer import Transformer
from polytask.nets.encoders.words import WordEncoder

ENCODERS: Catalogue[Encoder] = Catalogue(
    "encoder",
    Encoder,  # type: ignore[type-abstract]  # only subclass checks are made with it
    {
        "mlp": MLP,
        "resnet": ResNet,
        "ft_transformer": FTTransformer,
        "conv": Conv,
        "gru": GRU,
        "transformer": Transformer,
        "words": WordEncoder,
        "hf": HF,
    },
    short={"hf": "model"},
)

__all__ = [
    "ENCODERS",
    "GRU",
    "MLP",
    "Conv",
    "Encoder",
    "FTTransformer",
    "ResNet",
    "Stages",
    "Transformer",
    "WordEncoder",
]
