"""The small encoder of texts: word vectors, characters and recurrent layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError
from polytask.nets.encoders.characters import CharacterCNN
from polytask.nets.encoders.encoder import Encoder, Stages, check, given
from polytask.nets.encoders.gru import GRU, GRULayer
from polytask.nets.encoders.tokens import Pooling, TokenRows
from polytask.nets.encoders.vectors import fitted, static_vectors
from polytask.tokens.tokenizer import Tokenizer
from polytask.tokens.words import FIRST, UNKNOWN, WordTokenizer


@dataclass(frozen=True)
class WordEncoder(Encoder):
    """One token per word: its vector beside a convolution of its characters, then bidirectional recurrent layers.

    It reads no pretrained model and trains on a laptop. A word that training never saw, or saw once, is known by its
    characters alone.

    :param width: D, numbers per token, half of them from each direction; even.
    :param depth: recurrent layers.
    :param word_width: numbers of a word's vector.
    :param character_width: numbers that are read off a word's characters; 0 for none.
    :param dropout: share of the tokens' numbers dropped in training, before each layer and behind the last.
    :param word_dropout: share of words that are made unknown in training, so that it is learned what characters tell.
    :param pooling: a text is the mean of its tokens, or its first token.
    :param vectors: where words' vectors start from: a file of vectors (text: ``word v1 v2 ...`` per line; ``.npz`` with
        ``words`` and ``vectors``), or ``wordllama``, the vectors of the package of that name. They are turned onto
        their principal axes to fit ``word_width``, and go on learning. By default vectors start at random.
    :param min_count: how often a word must occur in training to get a vector of its own.
    :param max_words: most words that get one.
    :param characters: characters that are read of a word, half of them from its end.
    :param lower: words that differ in case only share a vector; characters keep their case.
    :param window: most words that are read at once; longer texts are read in windows that overlap.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Lample, Ballesteros, Subramanian, Kawakami, Dyer",
        "Neural architectures for named entity recognition",
        "NAACL",
        2016,
    )
    reads = "text"

    width: int = 192
    depth: int = 2
    word_width: int = 100
    character_width: int = 50
    dropout: float = 0.33
    word_dropout: float = 0.05
    pooling: Pooling = "mean"
    vectors: str = ""
    min_count: int = 2
    max_words: int = 100_000
    characters: int = 16
    lower: bool = True
    window: int = 512

    def __post_init__(self) -> None:
        check(
            self,
            positive=("width", "depth", "word_width"),
            natural=("character_width",),
            share=("dropout", "word_dropout"),
        )
        if self.width % 2:
            raise ConfigError(f"expected an even width, found {self.width}.", where="width")
        self.tokenizer()

    def tokenizer(self) -> Tokenizer:
        """Whole words with their characters."""
        return WordTokenizer(self.min_count, self.max_words, self.characters, self.lower, self.window)

    def restored(self) -> Encoder:
        """The same without a file of vectors."""
        return replace(self, vectors="")

    def build(self, spec: InputSpec) -> Stages:
        """Stages with one block per layer."""
        layer = GRU(width=self.width, depth=self.depth, dropout=self.dropout)
        blocks = (GRULayer(layer) for _ in range(self.depth))
        return Stages(
            WordStem(spec, self),
            blocks,
            TokenRows(self.pooling),
            channels=self.width,
            width=self.width,
            stackable=True,
            per_token=True,
        )


class WordStem(nn.Module):
    """Inputs -> Features ``(R, L, width)``; tokens that are not real are 0, and cost nothing.

    :raises polytask.errors.DataError: the inputs are no texts of whole words.
    """

    def __init__(self, spec: InputSpec, options: WordEncoder) -> None:
        super().__init__()
        if spec.shape or not (spec.vocabulary and spec.characters):
            raise DataError(
                "expected texts as words with their characters, found "
                + (
                    "pieces of words."
                    if spec.backbone
                    else "values of another kind."
                    if spec.shape
                    else "columns of a table."
                ),
                where="encoder",
                do="Choose an encoder of columns ('mlp'), maps ('conv') or sequences ('gru').",
            )
        self.word_dropout = options.word_dropout
        self.words = nn.Embedding(spec.vocabulary, options.word_width)
        self.characters = CharacterCNN(spec.characters, options.character_width) if options.character_width else None
        self.mix = nn.Linear(options.word_width + options.character_width, options.width)
        self.dropout = nn.Dropout(options.dropout)
        if options.vectors:
            _start(self.words, spec.words, options)

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(R, L, width)``."""
        values, mask = given(inputs), inputs.mask
        if mask is None:
            mask = values.new_ones(values.shape[:2], dtype=torch.bool)
        tokens = values[mask]  # (P, 1 + C)
        words = tokens[:, 0]
        if self.training and self.word_dropout:
            hidden = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(hidden, UNKNOWN)
        parts: list[Tensor] = [self.words(words)]
        if self.characters is not None:
            parts.append(self.characters(tokens[:, 1:]))
        mixed: Tensor = self.dropout(self.mix(self.dropout(torch.cat(parts, -1))))
        place = mask.flatten().cumsum(0).masked_fill(~mask.flatten(), 0)
        spread = torch.cat([mixed.new_zeros(1, mixed.shape[-1]), mixed]).index_select(0, place)
        return Features(spread.view(*mask.shape, mixed.shape[-1]), mask)


def _start(embedding: nn.Embedding, words: tuple[str, ...], options: WordEncoder) -> None:
    """Put the vectors of a file where it has them, as large as vectors that start at random."""
    if not words:
        raise ConfigError(
            "vectors can be looked up only for a vocabulary whose words are known.", where="vectors", do="Leave it out."
        )
    found, known = static_vectors(options.vectors, words)
    with torch.no_grad():
        embedding.weight[FIRST:][known] = fitted(found[known], options.word_width)
