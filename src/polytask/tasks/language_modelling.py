"""Words that were hidden from the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.catalogue import Paper
from polytask.errors import ConfigError, TaskError
from polytask.maths import ratios
from polytask.tasks.cross_entropy import coded_losses, constant_loss
from polytask.tasks.lists import arrays, cut, joined, lists_of, of_rows, positions, texts
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True, kw_only=True)
class LanguageModelling(Task):
    """Masked words: some words are hidden from the model, and it says which they were.

    Whole words are masked, never parts. The classes are the most frequent words of the training texts; others are
    never asked for. By default it is an auxiliary task: it helps the encoder, and is not judged.

    :param vocabulary: at most so many words, the most frequent ones.
    :param min_count: words that occur less often are left out.
    """

    vocabulary: int = 10_000
    min_count: int = 2
    role: Literal["primary", "auxiliary"] = field(default="auxiliary", kw_only=True)

    paper: ClassVar[Paper | None] = Paper(
        "Devlin, Chang, Lee and Toutanova",
        "BERT: Pre-training of deep bidirectional transformers for language understanding",
        "NAACL",
        2019,
    )
    masks_words: ClassVar[float] = 0.15
    """Share of words that are hidden in a batch."""
    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"vocabulary", "min_count"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.columns or ("words",))
        super().__post_init__()
        if self.vocabulary < 2 or self.min_count < 1:
            raise ConfigError(
                f"expected a vocabulary of at least 2 and a min_count of at least 1, found {self.vocabulary} and "
                f"{self.min_count}.",
                where=f"task {self.name!r}",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """Share of the hidden words that are told right."""
        return (Metric("accuracy", True, _accuracy, 1.0),)

    def fit(self, labels: pl.DataFrame) -> LanguageModellingTarget:
        """The words and their frequencies.

        :raises TaskError: fewer than two words that occur often enough.
        """
        lists = lists_of(labels, self.columns[0], self.name, "its words")
        words = texts(lists, self.name, self.columns[0]).drop_nulls().rename("word")
        table = words.value_counts(name="n").sort(["n", "word"], descending=[True, False])
        kept = table.filter(pl.col("n") >= self.min_count).head(self.vocabulary)
        if kept.height < 2:
            raise TaskError(
                f"expected at least two words that occur {self.min_count} times or more, found {kept.height}.",
                where=f"task {self.name!r}, column {self.columns[0]!r}",
                do="Leave this task out, or set min_count to 1.",
            )
        counts = kept["n"].cast(pl.Float64).to_numpy()
        return LanguageModellingTarget(self, tuple(kept["word"]), tuple(np.log(counts / counts.sum()).tolist()))

    def restore(self, learned: Mapping[str, Any]) -> LanguageModellingTarget:
        """The target again from what it learned."""
        return LanguageModellingTarget(self, tuple(learned["words"]), tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every hidden word: ``(M, G, K), (M, G, 1) -> (M, G)``."""
        return coded_losses(outputs, targets[..., 0])


@dataclass(frozen=True)
class LanguageModellingTarget(Target):
    """A language modelling task and its words.

    :param words: the most frequent first.
    :param start: their log frequencies.
    """

    task: LanguageModelling
    words: tuple[str, ...]
    start: tuple[float, ...]

    width = 1

    unit: ClassVar[Unit] = "word"

    @property
    def outputs(self) -> int:
        """K: one logit per word of the vocabulary."""
        return len(self.words)

    def learned(self) -> dict[str, Any]:
        """Words and start."""
        return {"words": list(self.words), "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """Places of the words in the vocabulary, NaN where they are not in it: ``(M, 1)``.

        Which of them are hidden, and so asked for, is drawn anew for every batch. Words outside of the vocabulary are
        never asked for, so that they are no errors either: no label is unseen.
        """
        lists = lists_of(labels, self.task.columns[0], self.task.name, "its words")
        values = texts(lists, self.task.name, self.task.columns[0])
        return torch.from_numpy(positions(values, self.words, float("nan")).copy())[:, None]

    def truth(self, encoded: Ragged) -> Array:
        """Of every row the places of its hidden words ``(words,)``, NaN for the others."""
        values, counts = arrays(encoded)
        return cut(values[:, 0], counts)

    def bias(self) -> Tensor:
        """The log frequencies of the words."""
        return torch.tensor(self.start, dtype=torch.float32)

    def reduce(self, outputs: Tensor) -> Tensor:
        """The most probable word alone, ``(M, 1)``: all logits of a corpus would fill the memory."""
        return outputs.argmax(-1, keepdim=True).to(outputs.dtype)

    def reference_loss(self, encoded: Any) -> float:
        """Mean cross-entropy of the words under their frequencies."""
        values = encoded.values if isinstance(encoded, Ragged) else encoded
        return constant_loss(self.bias(), values[:, 0])

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``words``: of every row the places of the most probable words, ``(words,)``.

        :param outputs: what :meth:`reduce` left.
        """
        values, counts = arrays(outputs)
        return {"words": cut(values[:, 0], counts)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The most probable word in every place."""
        return {f"{self.task.name}_words": [[self.words[int(code)] for code in row] for row in answer["words"]]}


def _accuracy(answer: Answer, truth: Array) -> Array:
    given, wanted = joined(answer["words"]), joined(truth)
    known = ~np.isnan(wanted)
    return ratios.by_row((given[known] == wanted[known]).astype(np.float64), of_rows(truth, known))
