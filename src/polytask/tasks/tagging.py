"""One label per word: parts of speech, or spans written as tags."""

from __future__ import annotations

import warnings
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
from polytask.errors import TaskError
from polytask.maths import ratios, scores
from polytask.tasks.cross_entropy import coded_losses
from polytask.tasks.distilling import soft_multiclass
from polytask.tasks.lists import arrays, counted, cut, frequencies, joined, lengths, lists_of, of_rows, positions, texts
from polytask.tasks.schemes import OUTSIDE, Scheme, read_spans, written
from polytask.tasks.tag_sequences import FORBIDDEN, Ints, TagSequences, TagSet, best_legal, firsts
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True, kw_only=True)
class Tagging(Task):
    """One of C labels for every word: parts of speech, named entities, slots.

    The column holds a list of labels per row, one per word; null is a word without a label. With a scheme labels are
    tags (``B-PER``, ``I-PER``, ``O``) that write spans, the main metric is the F1 of spans as conlleval and seqeval
    define it, and only legal sequences of tags are predicted (Viterbi).

    Tags that are not legal in the scheme are repaired: the spans that conlleval reads from them are written anew, so
    that ``O I-PER`` of BIO becomes ``O B-PER``. Spans stay what they are; ``fit`` warns and says how many tags changed.

    :param scheme: ``"none"``: labels that know nothing of each other; ``"BIO"`` (``"IOB2"`` is another name of it),
        ``"IOB1"`` or ``"BIOES"``.
    :param crf: a linear-chain conditional random field scores whole sequences of labels (Lafferty, McCallum and
        Pereira, Conditional random fields, ICML 2001).
    """

    scheme: Scheme = "none"
    crf: bool = False

    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"scheme"}

    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy over words and macro F1; with a scheme F1, precision and recall of spans, then accuracy."""
        if self.scheme == "none":
            return (ACCURACY, MACRO_F1)
        strict = self.scheme == "BIOES"
        return (*(STRICT_SPAN_METRICS if strict else SPAN_METRICS), ACCURACY)

    def fit(self, labels: pl.DataFrame) -> TaggingTarget:
        """The labels and their frequencies.

        :raises TaskError: fewer than two labels, or labels that are no tags of the scheme.
        """
        column = self.columns[0]
        lists = lists_of(labels, column, self.name)
        values = texts(lists, self.name, column)
        if self.scheme != "none":
            values = self._legal(values, lists.counts)
        classes, counts = frequencies(values, self.name, column)
        return TaggingTarget(self, classes, tuple(np.log(counts / counts.sum()).tolist()))

    def restore(self, learned: Mapping[str, Any]) -> TaggingTarget:
        """The target again from what it learned."""
        return TaggingTarget(self, tuple(learned["classes"]), tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every word: ``(M, G, C), (M, G, 1) -> (M, G)``; log C where training never saw the label."""
        return coded_losses(outputs, targets[..., 0])

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Cross-entropy of every word to the teacher's probabilities."""
        return soft_multiclass(outputs, teacher, temperature)

    def _legal(self, values: pl.Series, counts: Ints) -> pl.Series:
        """Training labels after the repair.

        :raises TaskError: a label that is no tag.
        """
        place = f"task {self.name!r}, column {self.columns[0]!r}"
        tags = TagSequences.of(values, counts, ())
        if tags.strange.any():
            raise TaskError(
                f"expected tags such as 'O', 'B-PER' and 'I-PER', found {values[int(tags.strange.argmax())]!r}.",
                where=place,
                do="Use scheme='none' if the labels of words do not write spans.",
            )
        prefix = tags.repaired(self.scheme)
        changed = prefix != tags.prefix
        if not changed.any():
            return values
        i = int(changed.argmax())
        warnings.warn(
            f"{place}: {int(changed.sum())} of {len(prefix)} tags are not legal in {self.scheme} and were repaired; "
            f"the first one, {values[i]!r}, became {written(int(prefix[i]), tags.kinds[tags.kind[i]])!r}.",
            stacklevel=4,
        )
        new = [written(p, tags.kinds[k]) for p, k in zip(prefix[changed].tolist(), tags.kind[changed], strict=True)]
        return values.scatter(np.flatnonzero(changed), new)


@dataclass(frozen=True)
class TaggingTarget(Target):
    """A tagging task and its labels.

    Labels that training never saw are negative: -1, and with a scheme -1 minus a number that says where spans begin,
    so that they count as spans that were missed.

    :param classes: the labels, in sort order.
    :param start: their log frequencies.
    """

    task: Tagging
    classes: tuple[str, ...]
    start: tuple[float, ...]

    width = 1

    unit: ClassVar[Unit] = "word"

    @property
    def head(self) -> str:
        """Linear, or a conditional random field."""
        return "crf" if self.task.crf else "linear"

    @property
    def outputs(self) -> int:
        """C: one logit per label."""
        return len(self.classes)

    @cached_property
    def tags(self) -> TagSet:
        """What the labels say of spans."""
        return TagSet(self.classes, self.task.scheme)

    def learned(self) -> dict[str, Any]:
        """Labels and start."""
        return {"classes": list(self.classes), "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """Places of the labels in ``classes``, NaN where missing, negative where unseen: ``(M, 1)``."""
        lists = lists_of(labels, self.task.columns[0], self.task.name)
        values = texts(lists, self.task.name, self.task.columns[0])
        return torch.from_numpy(self._codes(values, lists.counts).copy())[:, None]

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that no training row had."""
        lists = lists_of(labels, self.task.columns[0], self.task.name)
        values = texts(lists, self.task.name, self.task.columns[0])
        return counted(values.filter(pl.Series(self._codes(values, lists.counts) < 0)))

    def truth(self, encoded: Ragged) -> Array:
        """Of every row ``(words, 1)`` codes; with a scheme ``(words, 3)``: code, prefix and type."""
        values, counts = arrays(encoded)
        return cut(self._with_parts(values[:, 0]), counts)

    def bias(self) -> Tensor:
        """The log frequencies of the labels."""
        return torch.tensor(self.start, dtype=torch.float32)

    def constants(self) -> dict[str, Tensor]:
        """For the decoding of a CRF: 0 where a label may follow ``(C, C)``, begin or end ``(C,)``, else -1e9."""
        if not self.task.crf:
            return {}
        costs = (torch.from_numpy(np.where(allowed, 0.0, FORBIDDEN)).float() for allowed in self.tags.legal)
        return dict(zip(("transitions", "first", "last"), costs, strict=True))

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``tags``: of every row what :meth:`truth` gives of its labels; the best that are legal in the scheme."""
        values, counts = arrays(outputs)
        codes = values[:, 0] if self.task.crf else best_legal(values, counts, self.tags.legal).astype(np.float64)
        return {"tags": cut(self._with_parts(codes), counts)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The labels of the words of every row."""
        classes = self.classes
        return {self.task.columns[0]: [[classes[int(code)] for code in row[:, 0]] for row in answer["tags"]]}

    def _codes(self, values: pl.Series, counts: Ints) -> NDArray[np.float32]:
        """``(M,)``: places of the labels, negative where unseen."""
        return positions(values, self.classes) if self.task.scheme == "none" else self.tags.codes(values, counts)

    def _with_parts(self, codes: Array) -> Array:
        """Codes ``(M,)``, with a scheme beside their prefixes and types: ``(M, 1)`` or ``(M, 3)``."""
        return codes[:, None] if self.task.scheme == "none" else self.tags.parts(codes)


def _words(answer: Answer, truth: Array) -> tuple[Array, Array, Ints]:
    """Given and true labels of the labelled words ``(M, ...)``, and their number in each row ``(n,)``."""
    given, wanted = joined(answer["tags"]), joined(truth)
    known = ~np.isnan(wanted[:, 0])
    return given[known], wanted[known], of_rows(truth, known)


def _accuracy(answer: Answer, truth: Array) -> Array:
    given, wanted, counts = _words(answer, truth)
    return ratios.by_row((given[:, 0] == wanted[:, 0]).astype(np.float64), counts)


def _macro_f1(answer: Answer, truth: Array) -> Array:
    given, wanted, counts = _words(answer, truth)
    return ratios.by_row(scores.macro_f1(wanted[:, 0], given[:, 0]), counts)


def span_counts(answer: Answer, truth: Array, *, strict: bool) -> tuple[Array, Array, Array]:
    """Right, predicted and true spans of every row, ``(n,)`` each; words without a label are outside of spans."""
    sizes = lengths(truth)
    wanted, given = joined(truth), joined(answer["tags"])
    first = firsts(sizes, len(wanted))
    given = np.where(np.isnan(wanted[:, :1]), OUTSIDE, given)
    gold = read_spans(wanted[:, 1].astype(np.int64), wanted[:, 2].astype(np.int64), first)
    found = read_spans(given[:, 1].astype(np.int64), given[:, 2].astype(np.int64), first, strict=strict)
    end, kind = np.full(len(wanted), -1), np.full(len(wanted), -1)
    end[gold.start], kind[gold.start] = gold.end, gold.kind
    hit = (end[found.start] == found.end) & (kind[found.start] == found.kind)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    of_rows = (np.bincount(owner[start], minlength=len(sizes)) for start in (found.start[hit], found.start, gold.start))
    hits, predicted, true = (count.astype(np.float64) for count in of_rows)
    return hits, predicted, true


def _span_metrics(strict: bool) -> tuple[Metric, ...]:
    def f1(answer: Answer, truth: Array) -> Array:
        return ratios.f1(*span_counts(answer, truth, strict=strict))

    def precision(answer: Answer, truth: Array) -> Array:
        return ratios.precision(*span_counts(answer, truth, strict=strict))

    def recall(answer: Answer, truth: Array) -> Array:
        hits, _, wanted = span_counts(answer, truth, strict=strict)
        return ratios.recall(hits, wanted)

    return (
        Metric("span_f1", True, f1, 1.0),
        Metric("precision", True, precision, 1.0),
        Metric("recall", True, recall, 1.0),
    )


ACCURACY = Metric("accuracy", True, _accuracy, 1.0)
MACRO_F1 = Metric("macro_f1", True, _macro_f1, 1.0)
SPAN_METRICS, STRICT_SPAN_METRICS = _span_metrics(False), _span_metrics(True)
