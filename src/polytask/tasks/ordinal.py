"""One of several levels that have an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from polytask.catalogue import Paper
from polytask.errors import ConfigError, TaskError, did_you_mean
from polytask.maths import scores
from polytask.tasks.cross_entropy import multiclass_losses
from polytask.tasks.labels import Label, codes, column_of, decode, distinct, unseen
from polytask.tasks.task import Answer, Array, Metric, Target, Task


@dataclass(frozen=True, kw_only=True)
class Ordinal(Task):
    """One of L levels in order, coded 0 to L - 1; every loss is ``-log P(y)`` under its own model of the levels.

    ``"corn"``: L - 1 logits of the conditional probabilities ``P(y > k | y > k - 1)``; their products fall with k, so
    the probabilities are consistent. ``"cumulative"``: ``P(y > k) = sigmoid(z_k)`` with ``z_0 = o_0`` and
    ``z_k = z_(k-1) - softplus(o_k)`` (McCullagh, Regression models for ordinal data, JRSS B 1980, with thresholds
    that may depend on the row). ``"cross_entropy"``: L logits that know of no order.
    The predicted level is the median of the predicted distribution, because it minimises the expected absolute error.

    :param levels: the labels from low to high; may be left out for numbers (sorted) and ordered categories.
    :param loss: ``"corn"``, ``"cumulative"`` or ``"cross_entropy"``.
    """

    levels: tuple[bool | int | float | str, ...] = ()
    loss: Literal["corn", "cumulative", "cross_entropy"] = "corn"

    paper: ClassVar[Paper | None] = Paper(
        "Shi, Cao and Raschka",
        "Deep neural networks for rank-consistent ordinal regression based on conditional probabilities",
        "arXiv:2111.08851",
        2021,
    )
    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"levels"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        super().__post_init__()
        if len(self.levels) == 1 or len(set(self.levels)) < len(self.levels):
            raise ConfigError(
                f"levels: expected two or more different labels from low to high, found {list(self.levels)}.",
                where=f"task {self.name!r}",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """MAE in level steps (default), accuracy, log loss and quadratic kappa."""
        return ORDINAL_METRICS

    def fit(self, labels: pl.DataFrame) -> OrdinalTarget:
        """The levels and their frequencies.

        :raises TaskError: labels outside ``levels``, or text without declared levels.
        """
        series = column_of(labels, self.columns[0], self.name)
        classes, counts = distinct(series, self.name)
        levels = self.levels or _natural_order(series, classes, self.name)
        rows = np.nan_to_num(codes(pl.Series(series.name, list(classes)), levels, self.name), nan=-1).astype(np.int64)
        if (rows < 0).any():
            stray = classes[int(rows.argmin())]
            raise TaskError(
                f"the label {stray!r} is not among the levels {list(levels)}.",
                where=f"task {self.name!r}, column {series.name!r}",
                do=did_you_mean(str(stray), [str(level) for level in levels]),
            )
        # A declared level without a row counts as half a row: its best logit would be infinite.
        mass = np.maximum(np.bincount(rows, weights=counts, minlength=len(levels)), 0.5)
        return OrdinalTarget(self, levels, tuple(_best_constant(mass, self.loss).tolist()))

    def restore(self, learned: Mapping[str, Any]) -> OrdinalTarget:
        """The target again from what it learned."""
        return OrdinalTarget(self, tuple(learned["levels"]), tuple(learned["start"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``-log P(y)`` of every row: ``(N, G, K), (N, G, 1) -> (N, G)``."""
        truth = targets.nan_to_num(0.0)
        if self.loss == "cross_entropy":
            return multiclass_losses(outputs, truth[..., 0], "cross_entropy", 0.0, 0.0)
        step = torch.arange(outputs.shape[-1], device=outputs.device)
        if self.loss == "corn":
            reached, above = (truth >= step).to(outputs.dtype), (truth > step).to(outputs.dtype)
            return (reached * (softplus(outputs) - above * outputs)).sum(-1)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), and 1 - exp(-softplus(o)) = sigmoid(o)
        logits = _falling(outputs)
        inner = softplus(-outputs) * (step > 0).to(outputs.dtype)
        below, here = (truth - 1 == step).to(outputs.dtype), (truth == step).to(outputs.dtype)
        return (below * softplus(-logits) + here * (softplus(logits) + inner)).sum(-1)


@dataclass(frozen=True)
class OrdinalTarget(Target):
    """An ordinal task and its levels.

    :param levels: labels from low to high.
    :param start: outputs of the best constant predictor.
    """

    task: Ordinal
    levels: tuple[Label, ...]
    start: tuple[float, ...]

    width = 1

    @property
    def outputs(self) -> int:
        """L - 1, or L for cross-entropy."""
        return len(self.start)

    def learned(self) -> dict[str, Any]:
        """Levels and start."""
        return {"levels": list(self.levels), "start": list(self.start)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """The position of the label in the levels, NaN where missing or unseen: ``(N, 1)``."""
        series = column_of(labels, self.task.columns[0], self.task.name)
        return torch.from_numpy(codes(series, self.levels, self.task.name).copy())[:, None]

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that are no level."""
        return unseen(column_of(labels, self.task.columns[0], self.task.name), self.levels, self.task.name)

    def truth(self, encoded: Tensor) -> Array:
        """Level positions, ``(n, 1)``."""
        return encoded.double().cpu().numpy()

    def bias(self) -> Tensor:
        """Outputs whose probabilities are the training frequencies."""
        return torch.tensor(self.start, dtype=torch.float32)

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``probabilities`` ``(n, L)`` and ``level`` ``(n,)``, the position of the median level."""
        probabilities = _probabilities(outputs.detach().double(), self.task.loss).cpu().numpy()
        level = (probabilities[:, :-1].cumsum(1) < 0.5 - 1e-9).sum(1)
        return {"probabilities": probabilities, "level": level.astype(np.float64)}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The median level, and the probability of every level."""
        column, probabilities = self.task.columns[0], answer["probabilities"]
        table: dict[str, list[Any] | NDArray[Any]] = {column: decode(self.levels, answer["level"].astype(np.int64))}
        return table | {f"{column}_p_{label}": probabilities[:, i] for i, label in enumerate(self.levels)}


def _natural_order(series: pl.Series, classes: tuple[Label, ...], task: str) -> tuple[Label, ...]:
    """Numbers sort themselves, and an Enum column brings its order; other text has none."""
    if isinstance(series.dtype, pl.Enum):
        return tuple(series.dtype.categories.to_list())
    if not isinstance(classes[0], str):
        return classes
    shown = ", ".join(repr(label) for label in classes[:8]) + (", ..." if len(classes) > 8 else "")
    raise TaskError(
        f"the labels are text, whose order must be declared; found {shown}.",
        where=f"task {task!r}, column {series.name!r}",
        do="List them from low to high: levels=(...) in Python, levels: [...] in YAML.",
    )


def _falling(outputs: Tensor) -> Tensor:
    """Logits of ``P(y > k)`` of the cumulative model: the first output, then steps down by softplus."""
    return outputs[..., :1] - torch.cat([torch.zeros_like(outputs[..., :1]), softplus(outputs[..., 1:])], -1).cumsum(-1)


def _probabilities(outputs: Tensor, loss: str) -> Tensor:
    """``(n, K) -> (n, L)``."""
    if loss == "cross_entropy":
        return torch.softmax(outputs, -1)
    one = torch.ones_like(outputs[:, :1])
    if loss == "corn":
        reached = torch.cat([one, torch.sigmoid(outputs).cumprod(-1)], -1)
        return reached * torch.cat([torch.sigmoid(-outputs), one], -1)
    logits = _falling(outputs)
    inner = torch.cat([one, torch.sigmoid(outputs[:, 1:]), one], -1)
    return torch.cat([one, torch.sigmoid(logits)], -1) * torch.cat([torch.sigmoid(-logits), one], -1) * inner


def _best_constant(mass: Array, loss: str) -> Array:
    """Outputs whose probabilities are ``mass / sum mass``."""
    if loss == "cross_entropy":
        frequencies: Array = np.log(mass / mass.sum())
        return frequencies
    above = mass[::-1].cumsum()[::-1][1:]  # rows above level k, for k = 0 .. L - 2
    if loss == "corn":
        conditional: Array = np.log(above / mass[:-1])
        return conditional
    logits = np.log(above / (mass.sum() - above))
    return np.concatenate([logits[:1], np.log(np.expm1(-np.diff(logits)))])


ORDINAL_METRICS = (
    Metric("mae", False, lambda answer, truth: scores.absolute_error(truth[:, 0], answer["level"]), 0.0),
    Metric("accuracy", True, lambda answer, truth: scores.accuracy(truth[:, 0], answer["level"]), 1.0),
    Metric("log_loss", False, lambda answer, truth: scores.log_loss(truth[:, 0], answer["probabilities"]), 0.0),
    Metric("quadratic_kappa", True, lambda answer, truth: scores.quadratic_kappa(truth[:, 0], answer["level"]), 1.0),
)
