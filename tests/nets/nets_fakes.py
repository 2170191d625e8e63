"""Small tasks, a way of sharing with nothing shared, and data for the tests of the nets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Inputs, InputSpec, Targets, Words
from polytask.nets.encoders import ENCODERS, HF
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.tasks.task import Answer, Array, Metric, Target, Task

SPEC = InputSpec(numeric=4, cardinalities=(3, 20), edges=((-0.5, 0.0, 1.0), (), (0.2,), ()))

SPECS = {
    "columns": SPEC,
    "maps": InputSpec(numeric=0, shape=(2, 5, 6)),
    "sequences": InputSpec(numeric=0, shape=(5,), vocabulary=7),
    "text": InputSpec(numeric=0, vocabulary=20, characters=12),
}
"""An example of what encoders may read."""

TINY_BERT = {
    "model_type": "bert",
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "sep_token_id": 3,
}
PIECES = InputSpec(numeric=0, vocabulary=20, window=16, backbone=json.dumps(TINY_BERT))
"""Texts as pieces of words, for a pretrained model."""


def spec_for(encoder: Encoder) -> InputSpec:
    """What an encoder reads."""
    return PIECES if isinstance(encoder, HF) else SPECS[encoder.reads]


def encoder_named(name: str, **options: Any) -> Encoder:
    """An encoder of the catalogue at its own size, or as small as given; none reads a file."""
    return ENCODERS.build({"name": name, **({"init": "random"} if name == "hf" else {}), **options})


@dataclass(frozen=True)
class Coin(Task):
    """Cross-entropy of one logit."""

    def metrics(self) -> tuple[Metric, ...]:
        return ()

    def fit(self, labels: pl.DataFrame) -> Target:
        raise NotImplementedError

    def restore(self, learned: Mapping[str, Any]) -> Target:
        raise NotImplementedError

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        truth = targets[..., 0].nan_to_num(0.0, posinf=torch.inf)
        return functional.binary_cross_entropy_with_logits(outputs[..., 0], truth, reduction="none")


@dataclass(frozen=True)
class Square(Coin):
    """Squared error, times a factor of the task, summed over the columns that are present."""

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        present = ~targets.isnan()
        squares = (outputs - targets.nan_to_num(0.0, posinf=torch.inf)) ** 2
        return constants["factor"] * torch.where(present, squares, 0.0).sum(-1)


@dataclass(frozen=True)
class FakeTarget(Target):
    """A target whose start and factor are given."""

    task: Task
    start: tuple[float, ...] = (0.0,)
    factor: float | None = None

    @property
    def outputs(self) -> int:
        return len(self.start)

    @property
    def width(self) -> int:
        return len(self.start)

    def learned(self) -> dict[str, Any]:
        return {}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        raise NotImplementedError

    def truth(self, encoded: Tensor) -> Array:
        raise NotImplementedError

    def bias(self) -> Tensor:
        return torch.tensor(self.start)

    def constants(self) -> dict[str, Tensor]:
        return {} if self.factor is None else {"factor": torch.tensor(self.factor)}

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        raise NotImplementedError

    def present(self, answer: Answer) -> dict[str, Any]:
        raise NotImplementedError


def coin(name: str, start: float = 0.0, weight: float = 1.0) -> FakeTarget:
    return FakeTarget(Coin(name, weight=weight), (start,))


def square(name: str, *start: float, factor: float = 1.0) -> FakeTarget:
    return FakeTarget(Square(name), start, factor)


TARGETS = (coin("a", 0.3), square("b.x", 1.0, -1.0), coin("c", -0.2, weight=3.0), square("d", 0.5, 0.5, factor=2.0))
"""Two head groups that take turns in the order of tasks; one name with a dot."""


def layout(targets: Sequence[Target]) -> dict[str, slice]:
    columns: dict[str, slice] = {}
    stop = 0
    for target in targets:
        columns[target.task.name] = slice(stop, stop + target.width)
        stop += target.width
    return columns


def make_inputs(rows: int, spec: InputSpec = SPEC, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    if spec.vocabulary and not spec.shape:
        return make_texts([3, 1, 0, 4, 2, 1, 5][:rows] + [2] * (rows - 7), spec, seed)
    if spec.vocabulary:
        real = torch.randint(1, spec.shape[0] + 1, (rows, 1), generator=generator)
        tokens = torch.randint(0, spec.vocabulary, (rows, *spec.shape), generator=generator)
        return Inputs.of(tokens, torch.arange(spec.shape[0]) < real)
    if spec.shape:
        return Inputs.of(torch.randn(rows, *spec.shape, generator=generator))
    codes = [torch.randint(0, c, (rows,), generator=generator) for c in spec.cardinalities]
    categorical = torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.long)
    return Inputs(torch.randn(rows, spec.numeric, generator=generator), categorical)


def make_texts(counts: Sequence[int], spec: InputSpec = SPECS["text"], seed: int = 0, characters: int = 4) -> Inputs:
    """One window per text: a token per word, and one unknown token for a text without words."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([max(n, 1) for n in counts])
    longest = int(lengths.max()) if len(counts) else 0
    mask = torch.arange(longest) < lengths[:, None]
    rows = len(counts)
    values = torch.randint(3, spec.vocabulary, (rows, longest), generator=generator)
    values[torch.tensor([n == 0 for n in counts], dtype=torch.bool)] = 1
    values = values * mask
    if spec.characters:
        letters = torch.randint(3, spec.characters, (rows, longest, characters), generator=generator)
        sizes = torch.randint(1, characters + 1, (rows, longest, 1), generator=generator)
        letters = letters * (torch.arange(characters) < sizes) * mask[..., None]
        values = torch.cat([values[..., None], letters], -1)
    first = torch.cat([torch.arange(n) + r * longest for r, n in enumerate(counts)] or [torch.zeros(0).long()])
    words = Words(first, first, torch.arange(len(first)), torch.tensor(counts, dtype=torch.int64), torch.arange(rows))
    return Inputs(torch.zeros(rows, 0), torch.zeros(rows, 0).long(), values, mask, words)


def make_targets(rows: int, targets: Sequence[Target] = TARGETS, missing: float = 0.3, seed: int = 1) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    columns = []
    for target in targets:
        values = torch.randn(rows, target.width, generator=generator)
        columns.append((values > 0).float() if target.width == 1 else values)
    values = torch.cat(columns, 1)
    values[torch.rand(values.shape, generator=generator) < missing] = torch.nan
    return Targets(values, layout(targets))


def randomise_heads(model: nn.Module, seed: int = 3) -> None:
    """Heads start at zero, where many mistakes cannot be seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("heads."):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


@dataclass(frozen=True)
class Separate(Sharing):
    """A whole encoder per task: the opposite of hard sharing, with a representation per task."""

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        trunks = [encoder.build(spec) for _ in targets]
        return SeparateShared(trunks, tuple(target.task.name for target in targets))


class SeparateShared(Shared):
    def __init__(self, trunks: Sequence[nn.Module], tasks: tuple[str, ...]) -> None:
        super().__init__(tasks, int(trunks[0].width))
        self.trunks = nn.ModuleList(trunks)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        own = [self.trunks[self.tasks.index(task)] for task in tasks or self.tasks]
        return Representation(torch.stack([trunk(inputs) for trunk in own], 1))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        return self.trunks[self.tasks.index(task)].parameters()

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        return {} if task is None else self.trunks[self.tasks.index(task)].state_dict()
