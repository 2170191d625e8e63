"""The morphological features of every word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.errors import DataError
from polytask.maths import ratios
from polytask.tasks.cross_entropy import coded_losses
from polytask.tasks.lists import Lists, arrays, counted, cut, frequencies, joined, lists_of, of_rows, texts
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit

UNIVERSAL = frozenset(
    {"PronType", "NumType", "Poss", "Reflex", "Foreign", "Abbr", "Gender", "Animacy", "Number", "Case", "Definite"}
    | {"Degree", "VerbForm", "Mood", "Tense", "Aspect", "Voice", "Evident", "Polarity", "Person", "Polite"}
)
"""Attributes that the evaluation of the CoNLL 2018 shared task compares."""
EMPTY = ("", "_")
"""What stands where a word has no features."""

Features = Mapping[str, str]
Attributes = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class MorphTagging(Task):
    """The features of every word, as Universal Dependencies write them: ``Mood=Ind|Number=Sing|Person=3``.

    One classifier per attribute, with a class for its absence; the loss of a word is their mean. Thereby combinations
    that training never saw can be predicted. The column holds a list of strings per row; ``_`` and the empty string are
    words without features, null is a word without a label. Several values of one attribute (``Case=Acc,Dat``) are one
    class.

    Source of the metrics: Zeman, Hajič, Popel, Potthast, Straka, Ginter, Nivre and Petrov, CoNLL 2018 shared task:
    Multilingual parsing from raw text to Universal Dependencies, CoNLL 2018.
    """

    vector: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.columns or ("feats",))
        super().__post_init__()

    def metrics(self) -> tuple[Metric, ...]:
        """Words with all features right (default), UFeats of CoNLL 2018 (universal attributes only), micro F1."""
        return MORPH_METRICS

    def fit(self, labels: pl.DataFrame) -> MorphTaggingTarget:
        """The attributes, their values, and how often each occurs.

        :raises TaskError: no word has features, or all have the same.
        """
        lists = lists_of(labels, self.columns[0], self.name)
        values = texts(lists, self.name, self.columns[0])
        different, counts = frequencies(values, self.name, self.columns[0])
        table = _parsed(different, lists, values, self)
        occurs: dict[str, dict[str, float]] = {}
        for features, count in zip(table, counts.tolist(), strict=True):
            for attribute, value in features.items():
                own = occurs.setdefault(attribute, {})
                own[value] = own.get(value, 0.0) + count
        start = []
        for attribute in sorted(occurs):
            with_it = np.array([occurs[attribute][value] for value in sorted(occurs[attribute])])
            absent = max(float(counts.sum() - with_it.sum()), 0.5)  # no best logit of an absence that never occurs
            start += np.log(np.array([absent, *with_it]) / (absent + with_it.sum())).tolist()
        attributes = tuple((attribute, tuple(sorted(own))) for attribute, own in sorted(occurs.items()))
        return MorphTaggingTarget(self, attributes, tuple(start))

    def restore(self, learned: Mapping[str, Any]) -> MorphTaggingTarget:
        """The target again from what it learned."""
        attributes = tuple((attribute, tuple(values)) for attribute, values in learned["attributes"])
        return MorphTaggingTarget(self, attributes, tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the A attributes of every word: ``(M, G, K), (M, G, A + 2) -> (M, G)``."""
        places = constants["places"][0]  # tasks of one signature have the same
        logits = outputs[..., places.clamp(min=0)]
        codes = targets[..., : len(places)]
        seen = (codes < 0).logical_not()[..., None]
        logits = torch.where(seen, logits, torch.zeros_like(logits)).masked_fill(places < 0, -torch.inf)
        return coded_losses(logits, codes.clamp(min=0)).mean(-1)


@dataclass(frozen=True)
class MorphTaggingTarget(Target):
    """A morphological task and its attributes.

    :param attributes: every attribute with its values, in sort order.
    :param start: the log frequencies of absence and of every value, attribute by attribute.
    """

    task: MorphTagging
    attributes: Attributes
    start: tuple[float, ...]

    unit: ClassVar[Unit] = "word"

    @property
    def outputs(self) -> int:
        """K: values and absence of all attributes."""
        return sum(1 + len(values) for _, values in self.attributes)

    @property
    def width(self) -> int:
        """A + 2: a code per attribute, and how many features have an attribute that training never saw."""
        return len(self.attributes) + 2

    @property
    def signature(self) -> tuple[object, ...]:
        """Tasks whose attributes have equally many values share a head."""
        return (*super().signature, tuple(len(values) for _, values in self.attributes))

    def learned(self) -> dict[str, Any]:
        """Attributes and start."""
        return {"attributes": [[name, list(values)] for name, values in self.attributes], "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """The place of the value of every attribute, 0 where the word has none, -1 where unseen: ``(M, A + 2)``.

        The last two columns are minus the number of features of unseen attributes, universal ones and others. All are
        NaN where the word has no label.
        """
        lists = lists_of(labels, self.task.columns[0], self.task.name)
        return torch.from_numpy(self._codes(lists, texts(lists, self.task.name, self.task.columns[0])))

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Features strings with an attribute or value that training never saw."""
        lists = lists_of(labels, self.task.columns[0], self.task.name)
        values = texts(lists, self.task.name, self.task.columns[0])
        return counted(values.filter(pl.Series((self._codes(lists, values) < 0).any(1))))

    def truth(self, encoded: Ragged) -> Array:
        """Codes of every row: ``(words, 2, A + 2)``, of all attributes and then of the universal ones alone."""
        values, counts = arrays(encoded)
        return cut(self._both(values), counts)

    def bias(self) -> Tensor:
        """The log frequencies."""
        return torch.tensor(self.start, dtype=torch.float32)

    def constants(self) -> dict[str, Tensor]:
        """``places`` ``(A, V)``: the outputs of each attribute, -1 behind its last one."""
        sizes = [1 + len(values) for _, values in self.attributes]
        places = torch.full((len(sizes), max(sizes)), -1, dtype=torch.int64)
        begin = 0
        for i, size in enumerate(sizes):
            places[i, :size] = torch.arange(begin, begin + size)
            begin += size
        return {"places": places}

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``features``: of every row the most probable codes, as :meth:`truth` gives them."""
        values, counts = arrays(outputs)
        places = self.constants()["places"].numpy()
        logits = np.where(places >= 0, values[:, np.maximum(places, 0)], -np.inf)
        codes = np.zeros((len(values), self.width))
        codes[:, : len(places)] = logits.argmax(2)
        return {"features": cut(self._both(codes), counts)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The features strings of the words of every row, ``_`` where a word has none."""
        written: dict[bytes, str] = {}

        def text(codes: Array) -> str:
            key = codes.tobytes()
            if key not in written:
                written[key] = _written(self.attributes, codes.astype(np.int64).tolist())
            return written[key]

        return {self.task.columns[0]: [[text(codes) for codes in row[:, 0]] for row in answer["features"]]}

    @cached_property
    def _universal(self) -> NDArray[np.bool_]:
        """``(A + 2,)``: which columns of codes are about universal attributes."""
        return np.array([*(name in UNIVERSAL for name, _ in self.attributes), True, False])

    def _both(self, codes: Array) -> Array:
        """``(M, A + 2) -> (M, 2, A + 2)``."""
        missing = np.isnan(codes[:, :1])
        return np.stack([codes, np.where(self._universal | missing, codes, 0.0)], 1)

    def _codes(self, lists: Lists, values: pl.Series) -> NDArray[np.float32]:
        """``(M, A + 2)``, from a table of the different strings."""
        different = values.drop_nulls().unique(maintain_order=True)
        known = [(name, {value: i for i, value in enumerate(own, 1)}) for name, own in self.attributes]
        names = {name for name, _ in self.attributes}
        table = np.full((len(different) + 1, self.width), np.nan, dtype=np.float32)
        for row, features in enumerate(_parsed(tuple(different.to_list()), lists, values, self.task)):
            new = [name for name in features if name not in names]
            table[row, :-2] = [own.get(features[name], -1) if name in features else 0 for name, own in known]
            table[row, -2] = -sum(name in UNIVERSAL for name in new)
            table[row, -1] = -sum(name not in UNIVERSAL for name in new)
        index = values.replace_strict(different, pl.Series(range(len(different)), dtype=pl.Int64), default=None)
        codes: NDArray[np.float32] = table[index.fill_null(len(different)).to_numpy()]
        return codes


def _written(attributes: Attributes, codes: list[int]) -> str:
    """The features string of one word, attributes in alphabetical order whatever their case."""
    pairs = [(name, values[code - 1]) for (name, values), code in zip(attributes, codes, strict=False) if code > 0]
    return "|".join(f"{name}={value}" for name, value in sorted(pairs, key=lambda pair: pair[0].lower())) or "_"


def _parsed(different: tuple[str, ...], lists: Lists, values: pl.Series, task: MorphTagging) -> list[Features]:
    """Attribute -> value of every string.

    :raises DataError: a string that is no list of features, with its row.
    """
    found: list[Features] = []
    for text in different:
        pairs = [] if text in EMPTY else [part.partition("=") for part in text.split("|")]
        if not all(attribute and equals and value for attribute, equals, value in pairs):
            element = int((values == text).arg_max() or 0)
            raise DataError(
                f"expected features such as 'Number=Sing|Person=3', found {text!r}.",
                where=f"task {task.name!r}, column {task.columns[0]!r}, row {lists.row_of(element)}",
            )
        found.append({attribute: value for attribute, _, value in pairs})
    return found


def _exact(which: int) -> Any:
    def rows(answer: Answer, truth: Array) -> Array:
        given, wanted, counts = _words(answer, truth)
        return ratios.by_row((given[:, which] == wanted[:, which]).all(1).astype(np.float64), counts)

    return rows


def _micro_f1(answer: Answer, truth: Array) -> Array:
    given, wanted, counts = _words(answer, truth)
    given, wanted = given[:, 0], wanted[:, 0]
    owner = np.repeat(np.arange(len(counts)), counts)
    new = -wanted[:, -2:].sum(1)
    per_word = (
        ((given == wanted) & (wanted > 0)).sum(1),
        (given > 0).sum(1),
        (wanted[:, :-2] != 0).sum(1) + new,
    )
    hits, found, true = (np.bincount(owner, weights=part, minlength=len(counts)) for part in per_word)
    return ratios.f1(hits.astype(np.float64), found.astype(np.float64), true.astype(np.float64))


def _words(answer: Answer, truth: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Given and true codes of the labelled words ``(M, 2, A + 2)``, and their number in each row."""
    given, wanted = joined(answer["features"]), joined(truth)
    if not len(wanted):
        return given.reshape(0, 2, 2), wanted.reshape(0, 2, 2), of_rows(truth, np.zeros(0, dtype=np.bool_))
    known = ~np.isnan(wanted[:, 0, 0])
    return given[known], wanted[known], of_rows(truth, known)


MORPH_METRICS = (
    Metric("exact_match", True, _exact(0), 1.0),
    Metric("ufeats", True, _exact(1), 1.0),
    Metric("micro_f1", True, _micro_f1, 1.0),
)
