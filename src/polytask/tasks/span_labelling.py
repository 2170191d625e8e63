"""Labelled spans of words, which may lie inside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError
from polytask.maths import ratios
from polytask.tasks.cross_entropy import coded_losses
from polytask.tasks.lists import Lists, arrays, counted, cut, frequencies, joined, lengths, lists_of, positions, ragged
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True, kw_only=True)
class SpanLabelling(Task):
    """Spans of words with a label each, nested ones too: every span of up to ``longest`` words is classified.

    The column holds a list of ``{start, end, label}`` per row: places of words, the end exclusive; an empty list says
    that there is no span, null that nobody looked. A span is right where start, end and label are; a span that is named
    twice counts once. Longer spans than ``longest`` cannot be predicted: they are missed.

    :param longest: most words of a span; default: of the longest in training.
    """

    longest: int | None = None

    paper: ClassVar[Paper | None] = Paper(
        "Sohrab and Miwa", "Deep exhaustive model for nested named entity recognition", "EMNLP", 2018
    )
    reads: ClassVar[tuple[str, ...]] = ("words",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest is not None and self.longest < 1:
            raise ConfigError(f"longest: expected at least 1, found {self.longest}.", where=f"task {self.name!r}")

    def metrics(self) -> tuple[Metric, ...]:
        """F1 (default), precision and recall of spans."""
        return SPAN_SET_METRICS

    def fit(self, labels: pl.DataFrame) -> SpanLabellingTarget:
        """The labels, and how many of all spans of the training texts have them.

        :raises TaskError: no span in the training rows.
        """
        lists, spans = _read(labels, self)
        classes, counts = frequencies(spans["label"], self.name, self.columns[0], at_least=1)
        found = int((spans["end"] - spans["start"]).to_numpy().max())
        longest = self.longest or found
        words = lists_of(labels, self.reads[0], self.name, "its words")
        sizes = words.counts[np.isin(words.rows, lists.rows)]
        candidates = float(sum(np.maximum(sizes - width + 1, 0).sum() for width in range(1, longest + 1)))
        none = max(candidates - float(counts.sum()), 0.5)
        shares = np.array([none, *counts]) / (none + counts.sum())
        per_word = candidates / max(float(sizes.sum()), 1.0)
        entropy = float(-(shares * np.log(shares)).sum())
        return SpanLabellingTarget(self, classes, tuple(np.log(shares).tolist()), longest, per_word * entropy)

    def restore(self, learned: Mapping[str, Any]) -> SpanLabellingTarget:
        """The target again from what it learned."""
        return SpanLabellingTarget(
            self, tuple(learned["classes"]), tuple(learned["start"]), learned["longest"], learned["reference"]
        )

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every span against its label's code: ``(M, G, 1 + C), (M, G, 3) -> (M, G)``."""
        return coded_losses(outputs, targets[..., 2])


@dataclass(frozen=True)
class SpanLabellingTarget(Target):
    """A span labelling task and its labels. Code 0 is no span, codes from 1 on are ``classes``.

    :param classes: the labels, in sort order.
    :param start: log frequencies of no span and of every label among all spans of up to ``longest`` words.
    :param longest: most words of a span that is classified.
    :param reference: cross-entropy of all spans of the training texts under ``start``, per word.
    """

    task: SpanLabelling
    classes: tuple[str, ...]
    start: tuple[float, ...]
    longest: int
    reference: float

    width = 3

    unit: ClassVar[Unit] = "list"

    @property
    def head(self) -> str:
        """A classifier of spans."""
        return "spans"

    @property
    def outputs(self) -> int:
        """1 + C: a logit for no span, and one per label."""
        return 1 + len(self.classes)

    def learned(self) -> dict[str, Any]:
        """Labels, start, longest and reference."""
        return {
            "classes": list(self.classes),
            "start": list(self.start),
            "longest": self.longest,
            "reference": self.reference,
        }

    def encode(self, labels: pl.DataFrame) -> Ragged:
        """Start, end and code of the spans of every row, the code -1 where unseen: values ``(K, 3)``."""
        lists, spans = _read(labels, self.task)
        codes = positions(spans["label"], self.classes)
        codes = np.where(codes < 0, -1, codes + 1)
        values = np.stack([spans["start"].to_numpy(), spans["end"].to_numpy(), codes], 1)
        counts = np.bincount(spans["place"].to_numpy(), minlength=len(lists.counts))
        return ragged(values, lists.rows, counts, labels.height)

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that no training row had."""
        _, spans = _read(labels, self.task)
        return counted(spans["label"].filter(~spans["label"].is_in(list(self.classes))))

    def truth(self, encoded: Ragged) -> Array:
        """The spans of every row ``(spans, 3)``."""
        return cut(*arrays(encoded))

    def bias(self) -> Tensor:
        """The log frequencies."""
        return torch.tensor(self.start, dtype=torch.float32)

    def reference_loss(self, encoded: Any) -> float:
        """Cross-entropy of all spans of the training texts under constant logits, per word."""
        return self.reference if len(encoded) else float("nan")

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``spans``: of every row start, end and code, ``(spans, 3)``."""
        return {"spans": cut(*arrays(outputs))}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The spans of every row as ``{start, end, label}``."""
        return {self.task.columns[0]: [[self._shown(span) for span in row.tolist()] for row in answer["spans"]]}

    def present_words(self, answer: Answer, words: Sequence[Sequence[str]]) -> dict[str, list[Any] | NDArray[Any]]:
        """The spans of every row as ``{start, end, label, text}``."""
        given = zip(words, answer["spans"], strict=True)
        return {
            self.task.columns[0]: [
                [self._shown(span) | {"text": " ".join(row[int(span[0]) : int(span[1])])} for span in spans.tolist()]
                for row, spans in given
            ]
        }

    def _shown(self, span: Sequence[float]) -> dict[str, Any]:
        start, end, code = span
        return {"start": int(start), "end": int(end), "label": self.classes[int(code) - 1]}


def _read(labels: pl.DataFrame, task: SpanLabelling) -> tuple[Lists, pl.DataFrame]:
    """The labelled rows, and their different spans: ``place`` of the row among them, start, end and label.

    :raises DataError: spans without these three, or that do not lie in their text, with the row.
    """
    column = task.columns[0]
    lists = lists_of(labels, column, task.name, "{start, end, label} of every span")
    place = f"task {task.name!r}, column {column!r}"
    owner = np.repeat(np.arange(len(lists.counts)), lists.counts)
    if lists.values.dtype == pl.Null:
        kinds = {"start": pl.Int64, "end": pl.Int64, "label": pl.String}
        return lists, pl.DataFrame(schema={"place": pl.Int64, **kinds})
    if not (isinstance(lists.values.dtype, pl.Struct) and {"start", "end", "label"} <= set(lists.values.struct.fields)):
        raise DataError(f"expected spans {{start, end, label}}, found {lists.values.dtype}.", where=place)
    spans = lists.values.struct.unnest().select(
        pl.Series("place", owner, dtype=pl.Int64),
        pl.col("start", "end").cast(pl.Int64, strict=False),
        pl.col("label").cast(pl.String),
    )
    words = lists_of(labels, task.reads[0], task.name, "its words")
    sizes = np.full(labels.height, 0, dtype=np.int64)
    sizes[words.rows] = words.counts
    wrong = spans.select(
        pl.any_horizontal(pl.all().is_null())
        | (pl.col("start") < 0)
        | (pl.col("end") <= pl.col("start"))
        | (pl.col("end") > pl.Series(sizes[lists.rows][owner]))
    ).to_series()
    if wrong.any():
        i = int(wrong.arg_max() or 0)
        size = int(sizes[lists.rows[owner[i]]])
        raise DataError(
            f"expected a label and 0 <= start < end <= {size}, the number of words, found {spans.row(i)[1:]}.",
            where=f"{place}, row {lists.row_of(i)}",
        )
    return lists, spans.unique(maintain_order=True)


def _counts(answer: Answer, truth: Array) -> tuple[Array, Array, Array]:
    """Right, predicted and true spans of every row."""
    given, wanted = _keys(answer["spans"]), _keys(truth)
    base = np.maximum(given.max(0, initial=0), wanted.max(0, initial=0)) + 1
    found, gold = (np.unique(np.ravel_multi_index(tuple(keys.T), tuple(base))) for keys in (given, wanted))
    size = int(base[1:].prod())
    parts = (np.intersect1d(found, gold, assume_unique=True), found, gold)
    hits, predicted, true = (
        np.bincount(part // size, minlength=len(truth)).astype(np.float64)[: len(truth)] for part in parts
    )
    return hits, predicted, true


def _keys(rows: Array) -> NDArray[np.int64]:
    """``(K, 4)``: row, start, end and code + 1 of every span."""
    values = joined(rows, 3).reshape(-1, 3)
    owner = np.repeat(np.arange(len(rows)), lengths(rows))
    return np.column_stack([owner, values[:, :2], values[:, 2] + 1]).astype(np.int64)


def _recall(answer: Answer, truth: Array) -> Array:
    hits, _, wanted = _counts(answer, truth)
    return ratios.recall(hits, wanted)


SPAN_SET_METRICS = (
    Metric("span_f1", True, lambda answer, truth: ratios.f1(*_counts(answer, truth)), 1.0),
    Metric("precision", True, lambda answer, truth: ratios.precision(*_counts(answer, truth)), 1.0),
    Metric("recall", True, _recall, 1.0),
)
