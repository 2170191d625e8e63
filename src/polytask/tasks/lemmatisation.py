"""The dictionary form of every word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

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
from polytask.tasks.distilling import soft_multiclass
from polytask.tasks.edit_scripts import KnownScripts, Script
from polytask.tasks.lists import arrays, counted, cut, joined, of_rows, paired, texts
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit

WIDTH = 4
"""Scripts that are remembered of every word: the label, and up to three others that give the same lemma."""

Pairs = list[tuple[str, str] | None]


@dataclass(frozen=True, kw_only=True)
class Lemmatisation(Task):
    """The lemma of every word, as one of K scripts: letters come off and go on at both ends, and are cased.

    The classes are the most frequent scripts of the training words (:mod:`polytask.tasks.edit_scripts`). Several
    scripts may give the same lemma; all of them are right. A word whose lemma no script of training gives is an error
    in the metric, and teaches nothing. A script that asks for more letters than the word has leaves it as it is, and
    counts as an error. The column holds a list of lemmas per row; null, and ``_`` for a word that is not ``_``, stand
    for a word without a label.

    :param scripts: K: at most so many, the most frequent ones.
    :param min_count: scripts of fewer training words are left out.
    """

    scripts: int = 1000
    min_count: int = 2

    paper: ClassVar[Paper | None] = Paper("Straka", "UDPipe 2.0 prototype at CoNLL 2018 UD shared task", "CoNLL", 2018)
    reads: ClassVar[tuple[str, ...]] = ("words",)
    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"scripts", "min_count"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.columns or ("lemma",))
        super().__post_init__()
        if self.scripts < 2 or self.min_count < 1:
            raise ConfigError(
                f"expected scripts of at least 2 and a min_count of at least 1, found {self.scripts} and "
                f"{self.min_count}.",
                where=f"task {self.name!r}",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """Share of words with the right lemma."""
        return (Metric("accuracy", True, _accuracy, 1.0),)

    def fit(self, labels: pl.DataFrame) -> LemmatisationTarget:
        """The scripts and their frequencies.

        :raises TaskError: fewer than two scripts that occur often enough.
        """
        pairs = _pairs(labels, self)
        found = Counter(Script.between(*pair) for pair in pairs if pair)
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        kept = [(script, count) for script, count in ranked if count >= self.min_count][: self.scripts]
        if len(kept) < 2:
            raise TaskError(
                f"expected at least two ways from words to lemmas, each of {self.min_count} training words or more, "
                f"found {len(kept)}.",
                where=f"task {self.name!r}, column {self.columns[0]!r}",
                do="Leave this task out, or set min_count to 1.",
            )
        counts = np.array([count for _, count in kept], dtype=np.float64)
        start = tuple(np.log(counts / counts.sum()).tolist())
        return LemmatisationTarget(self, tuple(script for script, _ in kept), start)

    def restore(self, learned: Mapping[str, Any]) -> LemmatisationTarget:
        """The target again from what it learned."""
        scripts = tuple(
            Script(front, back, prefix, suffix, tuple(casing))
            for front, back, prefix, suffix, casing in learned["scripts"]
        )
        return LemmatisationTarget(self, scripts, tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every word: ``(M, G, K), (M, G, 4) -> (M, G)``; log K where no script gives the lemma."""
        return coded_losses(outputs, targets[..., 0])

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Cross-entropy of every word to the teacher's probabilities."""
        return soft_multiclass(outputs, teacher, temperature)


@dataclass(frozen=True)
class LemmatisationTarget(Target):
    """A lemmatisation task and its scripts.

    :param scripts: the most frequent first.
    :param start: their log frequencies.
    """

    task: Lemmatisation
    scripts: tuple[Script, ...]
    start: tuple[float, ...]

    width = WIDTH

    unit: ClassVar[Unit] = "word"

    @property
    def outputs(self) -> int:
        """K: one logit per script."""
        return len(self.scripts)

    def learned(self) -> dict[str, Any]:
        """Scripts and start."""
        return {"scripts": [[*script[:-1], list(script.casing)] for script in self.scripts], "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """The script of every word, and others that give the same lemma: ``(M, 4)``, NaN where there are no more.

        The first is -1 where no script gives the lemma, NaN where the word has no label.
        """
        pairs = _pairs(labels, self.task)
        return torch.from_numpy(self._codes(pairs))

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Words whose lemma no script gives, as ``word -> lemma``."""
        pairs = _pairs(labels, self.task)
        missed = self._codes(pairs)[:, 0] < 0
        return counted(pl.Series([f"{p[0]} -> {p[1]}" for p, no in zip(pairs, missed, strict=True) if p and no]))

    def truth(self, encoded: Ragged) -> Array:
        """Of every row the right scripts of its words, ``(words, 4)``."""
        return cut(*arrays(encoded))

    def bias(self) -> Tensor:
        """The log frequencies of the scripts."""
        return torch.tensor(self.start, dtype=torch.float32)

    def reference_loss(self, encoded: Any) -> float:
        """Mean cross-entropy of the scripts under their frequencies."""
        values = encoded.values if isinstance(encoded, Ragged) else encoded
        return constant_loss(self.bias(), values[:, 0])

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``scripts``: of every row the places of the most probable scripts of its words, ``(words,)``."""
        values, counts = arrays(outputs)
        return {"scripts": cut(values.argmax(1).astype(np.float64), counts)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The scripts themselves; :meth:`present_words` gives lemmas."""
        return {self.task.columns[0]: [[str(tuple(self.scripts[int(c)])) for c in row] for row in answer["scripts"]]}

    def present_words(self, answer: Answer, words: Sequence[Sequence[str]]) -> dict[str, list[Any] | NDArray[Any]]:
        """The lemmas of the words of every row."""
        given = zip(words, answer["scripts"], strict=True)
        return {
            self.task.columns[0]: [
                [self.scripts[int(code)].apply(word) or word for word, code in zip(row, codes, strict=True)]
                for row, codes in given
            ]
        }

    def _codes(self, pairs: Pairs) -> NDArray[np.float32]:
        """``(M, 4)``, from a table of the different pairs."""
        table: dict[tuple[str, str] | None, int] = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        codes = np.full((len(table), WIDTH), np.nan, dtype=np.float32)
        for pair, row in table.items():
            if pair is not None:
                right = self._known.giving(*pair)[:WIDTH] or [-1]
                codes[row, : len(right)] = right
        return codes[np.fromiter((table[pair] for pair in pairs), np.int64, len(pairs))]

    @cached_property
    def _known(self) -> KnownScripts:
        return KnownScripts(self.scripts)


def _pairs(labels: pl.DataFrame, task: Lemmatisation) -> Pairs:
    """Word and lemma of every word of the labelled rows; None where the lemma is missing."""
    columns = (task.reads[0], task.columns[0])
    words, lemmas = paired(labels, columns, task.name, ("its words", "one lemma per word"))
    forms, wanted = (
        texts(part, task.name, name).to_list() for part, name in zip((words, lemmas), columns, strict=True)
    )
    return [
        (word, lemma) if word and lemma and (lemma != "_" or word == "_") else None
        for word, lemma in zip(forms, wanted, strict=True)
    ]


def _accuracy(answer: Answer, truth: Array) -> Array:
    given, right = joined(answer["scripts"]), joined(truth, WIDTH)
    known = ~np.isnan(right[:, 0])
    hits = (given[known][:, None] == right[known]).any(1).astype(np.float64)
    return ratios.by_row(hits, of_rows(truth, known))
