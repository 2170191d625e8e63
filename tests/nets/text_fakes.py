"""Texts, targets of words and lists, and labels for the tests of text encoders and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from polytask.batch import Ragged, Targets
from polytask.nets.units import Units
from polytask.tasks.task import Answer, Array, Metric, Target, Task, Unit


@dataclass(frozen=True)
class Tags(Task):
    """Cross-entropy of codes; -1 costs log K."""

    def metrics(self) -> tuple[Metric, ...]:
        return ()

    def fit(self, labels: pl.DataFrame) -> Target:
        raise NotImplementedError

    def restore(self, learned: Mapping[str, Any]) -> Target:
        raise NotImplementedError

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        codes = targets[..., 0].nan_to_num(0.0, posinf=0.0).clamp(min=0).long()
        rows = functional.cross_entropy(outputs.movedim(-1, 1), codes, reduction="none")
        return torch.where(targets[..., 0] == -1, torch.tensor(float(outputs.shape[-1])).log(), rows)


@dataclass(frozen=True)
class FakeTags(Target):
    """A target of words or lists with K outputs."""

    task: Task
    start: tuple[float, ...]
    unit: Unit = "word"
    head: str = "linear"
    width: int = 1
    longest: int = 3
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return len(self.start)

    def learned(self) -> dict[str, Any]:
        return {}

    def encode(self, labels: pl.DataFrame) -> Tensor | Ragged:
        raise NotImplementedError

    def truth(self, encoded: Any) -> Array:
        raise NotImplementedError

    def bias(self) -> Tensor:
        return torch.tensor(self.start)

    def constants(self) -> dict[str, Tensor]:
        return dict(self.extra)

    def answer(self, outputs: Any) -> dict[str, Array]:
        raise NotImplementedError

    def present(self, answer: Answer) -> dict[str, Any]:
        raise NotImplementedError


def tags(name: str, *start: float, **more: Any) -> FakeTags:
    return FakeTags(Tags(name), start, **more)


def make_units(counts: Sequence[int], width: int, seed: int = 0) -> Units:
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(sum(counts), width, generator=generator)
    return Units(torch.randn(len(counts), width, generator=generator), words, torch.tensor(counts, dtype=torch.int64))


def word_targets(name: str, labels: Tensor, rows: int) -> Targets:
    """Labels of words alone: ``(M, W)``."""
    return Targets(torch.zeros(rows, 0), {}, labels, {name: slice(0, labels.shape[1])})


def list_targets(name: str, labels: Sequence[Sequence[Sequence[float]] | None], width: int) -> Targets:
    """A list per row; None where it is missing."""
    values = [torch.tensor(own).reshape(-1, width) for own in labels if own is not None]
    counts = torch.tensor([-1 if own is None else len(own) for own in labels])
    ragged = Ragged(torch.cat([torch.zeros(0, width), *values]), counts)
    return Targets(torch.zeros(len(labels), 0), {}, lists={name: ragged})


def randomise(module: torch.nn.Module, scale: float = 0.3, seed: int = 5) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
