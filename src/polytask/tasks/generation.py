"""A text that is written for every row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.errors import ConfigError, DataError, MissingExtraError, TaskError
from polytask.maths.chrf import chrf, chrf_statistics
from polytask.maths.jackknife import jackknife_rows
from polytask.tasks.cross_entropy import coded_losses, constant_loss
from polytask.tasks.labels import column_of
from polytask.tasks.lists import arrays, cut, per_row, ragged
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit

PAD, BOS, EOS = range(3)
"""Codes of padding, and of the tokens before the first and behind the last of a text."""
MARKS = 3
"""Codes from here on are pieces of text."""
BYTES = 256

_NEVER = 1e-6  # as often as this counts a token that no training text has: its logit must be finite
_NGRAMS = 4


@dataclass(frozen=True, kw_only=True)
class Generation(Task):
    """A text of any length: a translation, a summary, an answer.

    The texts of training get a vocabulary of their own, of pieces of bytes, so that every text can be written and none
    is changed (byte-level BPE by the package ``tokenizers``). chrF is the metric shown first (Popović, chrF: character
    n-gram F-score for automatic MT evaluation, WMT 2015); BLEU is sacrebleu's with its defaults (Post, A call for
    clarity in reporting BLEU scores, WMT 2018). Both are in per cent, and so is the score of a row: what the whole
    corpus would lose without it (jackknife). The column holds one string per row.

    Sennrich, Haddow and Birch. Neural machine translation of rare words with subword units. ACL 2016.

    :param vocabulary: at most so many pieces; at least 259, the bytes and three marks.
    """

    vocabulary: int = 8000

    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"vocabulary"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary < BYTES + MARKS:
            raise ConfigError(
                f"vocabulary: expected at least {BYTES + MARKS}, found {self.vocabulary}.",
                where=f"task {self.name!r}",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """chrF (default) and BLEU, in per cent."""
        return (Metric("chrf", True, _chrf_rows, 100.0), Metric("bleu", True, _bleu_rows, 100.0))

    def fit(self, labels: pl.DataFrame) -> GenerationTarget:
        """The pieces of the training texts, and how often each occurs.

        :raises TaskError: no text, or only one.
        :raises MissingExtraError: the package ``tokenizers`` is not installed.
        """
        texts = _texts(labels, self).drop_nulls()
        place = f"task {self.name!r}, column {self.columns[0]!r}"
        if texts.is_empty():
            raise TaskError("every text is missing in the training rows.", where=place, do="Leave this task out.")
        if texts.n_unique() == 1:
            raise TaskError(
                f"every text in the training rows is {texts[0]!r}: there is nothing to learn.",
                where=place,
                do="Leave this task out, or check the split and the column.",
            )
        pieces = _trained(texts.to_list(), self.vocabulary)
        tokens = _Tokens.of(pieces)
        codes = tokens.encode(texts.to_list())
        counts = np.bincount(np.concatenate([*codes]), minlength=tokens.size) + _NEVER
        start = np.log(counts / counts.sum())
        return GenerationTarget(self, pieces, tuple(start.tolist()), max(len(text) for text in codes))

    def restore(self, learned: Mapping[str, Any]) -> GenerationTarget:
        """The target again from what it learned."""
        pieces = json.dumps(learned["pieces"], ensure_ascii=False)
        return GenerationTarget(self, pieces, tuple(learned["start"]), learned["longest"])

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every token: ``(P, G, K), (P, G, 1) -> (P, G)``."""
        return coded_losses(outputs, targets[..., 0])


@dataclass(frozen=True)
class GenerationTarget(Target):
    """A generation task and its vocabulary. Code 0 is padding, 1 begins and 2 ends a text.

    :param pieces: the vocabulary as JSON text, for the package ``tokenizers``.
    :param start: log frequencies of the tokens in the training texts, marks of ends included.
    :param longest: tokens of the longest training text, with the mark of its end.
    """

    task: Generation
    pieces: str
    start: tuple[float, ...]
    longest: int

    width = 1

    unit: ClassVar[Unit] = "list"

    @property
    def head(self) -> str:
        """A decoder that reads the encoder's tokens."""
        return "decoder"

    @property
    def outputs(self) -> int:
        """K: one logit per token."""
        return len(self.start)

    def learned(self) -> dict[str, Any]:
        """Pieces, start and longest."""
        return {"pieces": json.loads(self.pieces), "start": list(self.start), "longest": self.longest}

    def encode(self, labels: pl.DataFrame) -> Ragged:
        """The tokens of the text of every row and the mark of its end: values ``(P, 1)``."""
        texts = _texts(labels, self.task)
        rows = np.flatnonzero(texts.is_not_null().to_numpy())
        codes = _Tokens.of(self.pieces).encode(texts.drop_nulls().to_list())
        counts = np.fromiter((len(text) for text in codes), np.int64, len(codes))
        values = np.concatenate([np.zeros(0, dtype=np.int64), *codes])[:, None]
        return ragged(values, rows, counts, len(texts))

    def truth(self, encoded: Ragged) -> Array:
        """The text of every row."""
        return self._texts(encoded)

    def bias(self) -> Tensor:
        """The log frequencies of the tokens."""
        return torch.tensor(self.start, dtype=torch.float32)

    def reference_loss(self, encoded: Any) -> float:
        """Mean cross-entropy of the tokens under their frequencies."""
        values = encoded.values if isinstance(encoded, Ragged) else encoded
        return constant_loss(self.bias(), values[:, 0])

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``texts``: the text of every row."""
        return {"texts": self._texts(outputs)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The text of every row."""
        return {self.task.columns[0]: answer["texts"].tolist()}

    def _texts(self, tokens: Ragged) -> Array:
        values, counts = arrays(tokens)
        parts = [part.astype(np.int64).tolist() for part in cut(values[:, 0], counts)]
        return per_row(_Tokens.of(self.pieces).decode(parts), len(parts))


class _Tokens:
    """A vocabulary of the package ``tokenizers``, from JSON text; kept, because reading it takes time."""

    def __init__(self, pieces: str) -> None:
        self._tokenizer = _package().Tokenizer.from_str(pieces)
        self.size: int = MARKS + self._tokenizer.get_vocab_size()

    @staticmethod
    @cache
    def of(pieces: str) -> _Tokens:
        """The vocabulary of this JSON text."""
        return _Tokens(pieces)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The codes of every text and the mark of its end."""
        found = self._tokenizer.encode_batch(list(texts))
        return [[*(code + MARKS for code in text.ids), EOS] for text in found]

    def decode(self, codes: Sequence[Sequence[int]]) -> list[str]:
        """The text before the first mark of an end; padding is nothing."""
        ended = [row[: row.index(EOS)] if EOS in row else row for row in map(list, codes)]
        found: list[str] = self._tokenizer.decode_batch([[c - MARKS for c in row if c >= MARKS] for row in ended])
        return found


def _trained(texts: list[str], size: int) -> str:
    """Byte-level BPE of the texts, as JSON text."""
    package = _package()
    bytes_of = package.pre_tokenizers.ByteLevel
    tokenizer = package.Tokenizer(package.models.BPE())
    tokenizer.pre_tokenizer = bytes_of(add_prefix_space=False)
    tokenizer.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=size - MARKS, initial_alphabet=bytes_of.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtraError("tokenizers", "text", "generating text") from error
    return tokenizers


def _texts(labels: pl.DataFrame, task: Generation) -> pl.Series:
    """The column as text.

    :raises DataError: it holds something else.
    """
    series = column_of(labels, task.columns[0], task.name)
    if series.dtype in (pl.String, pl.Null) or isinstance(series.dtype, (pl.Categorical, pl.Enum)):
        return series.cast(pl.String)
    raise DataError(
        f"expected text, found values of type {series.dtype}.", where=f"task {task.name!r}, column {series.name!r}"
    )


def _chrf_rows(answer: Answer, truth: Array) -> Array:
    return jackknife_rows(chrf_statistics(answer["texts"].tolist(), truth.tolist()), chrf)


def _bleu_rows(answer: Answer, truth: Array) -> Array:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtraError("sacrebleu", "text", "BLEU") from error
    scorer = BLEU()
    sums = np.empty((len(truth), 2 * _NGRAMS + 2))
    for i, (text, reference) in enumerate(zip(answer["texts"], truth, strict=True)):
        found = scorer.corpus_score([text], [[reference]])
        sums[i] = (*found.counts, *found.totals, found.sys_len, found.ref_len)

    def value(totals: Array) -> Array:
        scores = (
            BLEU.compute_bleu(row[:_NGRAMS], row[_NGRAMS:-2], row[-2], row[-1], smooth_method="exp").score
            for row in totals.astype(np.int64).tolist()
        )
        return np.fromiter(scores, np.float64, len(totals))

    return jackknife_rows(sums, value)
