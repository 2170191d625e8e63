"""Targets about rows, words and lists that are as simple as can be: labels are whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import torch
from torch import Tensor

from polytask.batch import Ragged
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True)
class Counting(Task):
    """Labels that are whole numbers."""

    unit: Unit = "word"
    vector: ClassVar[bool] = True

    def metrics(self) -> tuple[Metric, ...]:
        return ()

    def fit(self, labels: pl.DataFrame) -> Target:
        return CountingTarget(self)

    def restore(self, learned: Mapping[str, Any]) -> Target:
        return CountingTarget(self)

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        return outputs.sum(-1) * 0


@dataclass(frozen=True)
class Guessing(Counting):
    """Words that are hidden; the label of a word is its length."""

    masks_words: ClassVar[float] = 0.15


@dataclass(frozen=True)
class CountingTarget(Target):
    task: Counting

    @property
    def unit(self) -> Unit:
        return self.task.unit

    @property
    def outputs(self) -> int:
        return 1

    @property
    def width(self) -> int:
        return len(self.task.columns)

    def learned(self) -> dict[str, Any]:
        return {}

    def encode(self, labels: pl.DataFrame) -> Tensor | Ragged:
        if isinstance(self.task, Guessing):
            labels = labels.select(pl.col(c).list.eval(pl.element().str.len_chars()) for c in self.task.columns)
        if self.unit == "row":
            return torch.tensor(labels.cast(pl.Float32).fill_null(float("nan")).rows(), dtype=torch.float32).reshape(
                -1, self.width
            )
        columns = [labels[c].to_list() for c in self.task.columns]
        counts = torch.tensor([-1 if own is None else len(own) for own in columns[0]])
        values = [[float(x) for own in column if own for x in own] for column in columns]
        found = torch.tensor(values, dtype=torch.float32).T.reshape(-1, self.width)
        return Ragged(found, counts) if self.unit == "list" else found

    def truth(self, encoded: Any) -> Array:
        raise NotImplementedError

    def bias(self) -> Tensor:
        return torch.zeros(1)

    def answer(self, outputs: Any) -> dict[str, Array]:
        raise NotImplementedError

    def present(self, answer: Answer) -> dict[str, Any]:
        raise NotImplementedError
