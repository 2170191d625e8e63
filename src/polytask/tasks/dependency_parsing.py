"""The head of every word, and its relation to it."""

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
from polytask.catalogue import Paper
from polytask.errors import ConfigError, DataError
from polytask.maths import ratios
from polytask.tasks.cross_entropy import coded_losses
from polytask.tasks.lists import (
    Lists,
    arrays,
    counted,
    cut,
    frequencies,
    joined,
    of_rows,
    paired,
    positions,
    texts,
)
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True, kw_only=True)
class DependencyParsing(Task):
    """The dependency tree of every sentence: each word's head (0 is the root, 1 the first word) and relation.

    Two list columns, of heads and of relations; null is a word without a label. The tree predicted is the best one
    with a single word below the root. LAS counts words whose head and universal relation are right: subtypes
    (``nmod:poss``) are learned and predicted, but not compared, as the evaluation of the CoNLL 2018 shared task has it
    (Zeman et al., CoNLL 2018); on given words its F1 is this accuracy. Trees with a cycle are errors of the data.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Dozat and Manning", "Deep biaffine attention for neural dependency parsing", "ICLR", 2017
    )
    vector: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.columns or ("head", "deprel"))
        super().__post_init__()
        if len(self.columns) != 2:
            raise ConfigError(
                f"expected two columns, of heads and of relations, found {len(self.columns)}.",
                where=f"task {self.name!r}",
                do="Write columns=('head', 'deprel'), or leave it out.",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """LAS (default), UAS, and LAS with subtypes of relations compared too."""
        return PARSING_METRICS

    def fit(self, labels: pl.DataFrame) -> DependencyParsingTarget:
        """The relations and their frequencies.

        :raises TaskError: fewer than two relations.
        :raises DataError: heads that form no tree, with the row.
        """
        _, relations = _read(labels, self)
        classes, counts = frequencies(texts(relations, self.name, self.columns[1]), self.name, self.columns[1])
        return DependencyParsingTarget(self, classes, tuple(np.log(counts / counts.sum()).tolist()))

    def restore(self, learned: Mapping[str, Any]) -> DependencyParsingTarget:
        """The target again from what it learned."""
        return DependencyParsingTarget(self, tuple(learned["relations"]), tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of every word's relation: ``(M, G, K), (M, G, 2) -> (M, G)``; heads are the head's business."""
        return coded_losses(outputs, targets[..., 1])


@dataclass(frozen=True)
class DependencyParsingTarget(Target):
    """A parsing task and its relations.

    Relations that training never saw are negative: -1, or -2 minus the place of the universal part in ``universal``
    where training has seen that.

    :param relations: the relations, in sort order.
    :param start: their log frequencies.
    """

    task: DependencyParsing
    relations: tuple[str, ...]
    start: tuple[float, ...]

    width = 2

    unit: ClassVar[Unit] = "word"

    @property
    def head(self) -> str:
        """Biaffine attention between words."""
        return "biaffine"

    @property
    def outputs(self) -> int:
        """K: the number of relations."""
        return len(self.relations)

    @cached_property
    def universal(self) -> tuple[str, ...]:
        """The relations without subtypes, in sort order."""
        return tuple(sorted({_universal(relation) for relation in self.relations}))

    def learned(self) -> dict[str, Any]:
        """Relations and start."""
        return {"relations": list(self.relations), "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """Head and relation of every word, NaN where missing, the relation negative where unseen: ``(M, 2)``."""
        heads, relations = _read(labels, self.task)
        return torch.from_numpy(np.stack([_numbers(heads), self._codes(relations)], 1))

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Relations that no training row had."""
        _, relations = _read(labels, self.task)
        values = texts(relations, self.task.name, self.task.columns[1])
        return counted(values.filter(pl.Series(self._codes(relations) < 0)))

    def truth(self, encoded: Ragged) -> Array:
        """Of every row ``(words, 3)``: head, relation, and relation without its subtype."""
        values, counts = arrays(encoded)
        return cut(self._with_universal(values), counts)

    def bias(self) -> Tensor:
        """The log frequencies of the relations."""
        return torch.tensor(self.start, dtype=torch.float32)

    def answer(self, outputs: Ragged) -> dict[str, Array]:
        """``trees``: of every row what :meth:`truth` gives of its labels."""
        values, counts = arrays(outputs)
        return {"trees": cut(self._with_universal(values), counts)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """Heads and relations of the words of every row."""
        heads, relations = self.task.columns
        return {
            heads: [row[:, 0].astype(np.int64).tolist() for row in answer["trees"]],
            relations: [[self.relations[int(code)] for code in row[:, 1]] for row in answer["trees"]],
        }

    def reference_loss(self, encoded: Any) -> float:
        """``log n`` for the head of a word among n candidates, and the cross-entropy of relations: mean over words."""
        relations = super().reference_loss(encoded)
        if not isinstance(encoded, Ragged):
            return relations
        values, counts = arrays(encoded)
        known = ~np.isnan(values[:, 0])
        size = np.repeat(counts, counts)[known]
        return relations + float(np.log(size).mean()) if len(size) else relations

    def _codes(self, relations: Lists) -> NDArray[np.float32]:
        """``(M,)`` places of relations; negative where unseen."""
        values = texts(relations, self.task.name, self.task.columns[1])
        codes = positions(values, self.relations)
        general = positions(values.str.split(":").list.first(), self.universal)
        return np.where(codes == -1, np.where(general < 0, -1.0, -2.0 - general), codes).astype(np.float32)

    def _with_universal(self, values: Array) -> Array:
        """``(M, 2) -> (M, 3)``."""
        place = {relation: i for i, relation in enumerate(self.universal)}
        own = np.array([place[_universal(relation)] for relation in self.relations], dtype=np.float64)
        codes = values[:, 1]
        whole = np.nan_to_num(codes, nan=-1.0).astype(np.int64)
        general = np.where(whole >= 0, own[np.maximum(whole, 0)], np.where(whole < -1, -2.0 - whole, -1.0))
        return np.concatenate([values, general[:, None]], 1)


def _universal(relation: str) -> str:
    return relation.partition(":")[0]


def _read(labels: pl.DataFrame, task: DependencyParsing) -> tuple[Lists, Lists]:
    """Heads and relations of the labelled rows.

    :raises DataError: lists of different lengths, heads outside the sentence, cycles; with the row.
    """
    first, second = task.columns
    expected = ("one head per word", "one relation per word")
    heads, relations = paired(labels, (first, second), task.name, expected)
    _check_trees(heads, task)
    return heads, relations


def _numbers(heads: Lists) -> NDArray[np.float32]:
    """``(M,)``, NaN where missing."""
    return heads.values.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _check_trees(heads: Lists, task: DependencyParsing) -> None:
    place = f"task {task.name!r}, column {task.columns[0]!r}"
    if not (heads.values.dtype.is_numeric() or heads.values.dtype == pl.Null):
        raise DataError(f"expected lists of whole numbers, found lists of {heads.values.dtype}.", where=place)
    found = _numbers(heads)
    size = np.repeat(heads.counts, heads.counts)
    offset = np.repeat(heads.counts.cumsum() - heads.counts, heads.counts)
    own = np.arange(len(found)) - offset + 1
    known = np.where(np.isnan(found), 0, found)
    outside = (known < 0) | (known > size) | (known != np.round(known)) | (known == own)
    if outside.any():
        i = int(outside.argmax())
        raise DataError(
            f"expected the head of word {own[i]} among 0 (the root) and the other {size[i] - 1} words, "
            f"found {known[i]:g}.",
            where=f"{place}, row {heads.row_of(i)}",
        )
    up = np.concatenate([[0], np.where(known == 0, 0, offset + known)]).astype(np.int64)  # word i is node i + 1
    for _ in range(int(heads.counts.max(initial=0)).bit_length()):
        up = up[up]
    if up.any():
        i = int(up[1:].astype(np.bool_).argmax())
        raise DataError(
            f"expected a tree, found a cycle above word {own[i]}.",
            where=f"{place}, row {heads.row_of(i)}",
            do="Correct the heads of this sentence, or leave it out.",
        )


def _share(*columns: int) -> Any:
    def rows(answer: Answer, truth: Array) -> Array:
        given, wanted = joined(answer["trees"], 3), joined(truth, 3)
        known = ~np.isnan(wanted).any(1)
        right = (given[known][:, columns] == wanted[known][:, columns]).all(1).astype(np.float64)
        return ratios.by_row(right, of_rows(truth, known))

    return rows


PARSING_METRICS = (
    Metric("las", True, _share(0, 2), 1.0),
    Metric("uas", True, _share(0), 1.0),
    Metric("las_subtypes", True, _share(0, 1), 1.0),
)
