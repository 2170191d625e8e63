"""The contract of a task: what it predicts, how it is scored, and what it learned about its labels.

A :class:`Task` is what the user declares: a frozen dataclass of names and choices. ``task.fit(labels)`` looks at
the labels of the training split and returns a :class:`Target`: the task together with what it learned (classes,
mean and scale, thresholds). Models, losses, scores and predictions only ever see targets.

Losses are written over stacked tasks: outputs ``(N, G, K)``, targets ``(N, G, W)`` -> ``(N, G)``, so that G tasks
of equal :attr:`Target.signature` are one batched operation. Rows without a label give a finite loss without meaning
and finite gradients (NaN targets are replaced by a valid dummy inside, because ``torch.where`` on the result would
still send ``0 * NaN`` backwards); callers mask them with :func:`labelled`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.batch import Ragged
from polytask.catalogue import Paper, check_types
from polytask.errors import ConfigError, did_you_mean

Array = NDArray[Any]
"""Row by row: float64, or for labels of words and lists an array of objects, each the array of one row."""
Answer = Mapping[str, Array]
Unit = Literal["row", "word", "list"]
"""What a label belongs to: a row, each word of its text, or a list of any length."""

_ROWS_AT_ONCE = 2**17  # memory stays bounded when the reference loss of a large table is taken


@dataclass(frozen=True)
class Metric:
    """One number per task, as a mean of row scores.

    :param name: its name in tables.
    :param higher_is_better: the direction.
    :param rows: ``rows(answer, truth) -> (n,)``: row scores over labelled rows whose mean is the metric exactly
        (for AUC, RMSE, R2 and macro F1 the linearised influence of each row; see ``polytask.maths.scores``).
    :param best: the value of a perfect model; ``|value - best|`` is the ratio-scale error that relative gains
        and delta-m are computed on (1 - AUC, 1 - R2, the loss itself). None when there is no such value.
    """

    name: str
    higher_is_better: bool
    rows: Callable[[Answer, Array], Array]
    best: float | None

    def value(self, answer: Answer, truth: Array) -> float:
        """The metric over labelled rows; NaN when it is undefined on them (AUC with one class)."""
        return float(np.mean(self.rows(answer, truth))) if len(truth) else float("nan")

    def error(self, value: float) -> float:
        """The ratio-scale error behind a value: 0 for a perfect model, lower is better."""
        return abs(value - self.best) if self.best is not None else float("nan")


@dataclass(frozen=True)
class Task(ABC):
    """One thing to predict. Subclasses add their own fields and are listed in ``polytask.tasks.TASKS``.

    :param name: name of the task, unique in a model.
    :param columns: target columns; default: one column with the task's name.
    :param weight: factor on this task's loss in training, on top of the balancer (it changes nothing else).
    :param metric: the metric that verdicts and tables show first, and that ``select_by="metric"`` uses.
    :param role: ``"auxiliary"`` tasks help training only: they never choose a checkpoint, get no verdict, and are
        left out of the saved model unless asked for.
    :param parents: tasks that this one builds on: a click comes before a purchase. Ways of sharing that order tasks
        read it; all others leave it alone.
    """

    name: str
    columns: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    weight: float = dataclasses.field(default=1.0, kw_only=True)
    metric: str = dataclasses.field(default="", kw_only=True)
    role: Literal["primary", "auxiliary"] = dataclasses.field(default="primary", kw_only=True)
    parents: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    paper: ClassVar[Paper | None] = None
    vector: ClassVar[bool] = False
    """Whether the task may have several target columns."""
    texts: ClassVar[int] = 1
    """How many texts a row must have, for tasks about texts."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Input columns that ``fit`` and ``encode`` see beside the target columns: lemmas are rules that edit words."""
    masks_words: ClassVar[float] = 0.0
    """Share of the words that are hidden in the inputs; only they have labels then."""
    beside_loss: ClassVar[frozenset[str]] = frozenset({"name", "columns", "weight", "metric", "role", "parents"})
    """Fields that :meth:`row_losses` does not read: tasks that differ only in them share a batched head."""

    def __post_init__(self) -> None:
        if isinstance(self.columns, str):
            raise ConfigError(f"expected columns=('a', 'b'), found {self.columns!r}.", where=f"task {self.name!r}")
        check_types(self)
        if not self.name or "/" in self.name:
            raise ConfigError(
                f"expected a task name without '/', found {self.name!r}.",
                where="task",
                do="Give the task another name, and the column that it predicts as columns=['...'].",
            )
        if not self.columns:
            object.__setattr__(self, "columns", (self.name,))
        object.__setattr__(self, "columns", tuple(self.columns))
        if twice := next((c for c in self.columns if self.columns.count(c) > 1), None):
            raise ConfigError(f"the target column {twice!r} is named twice.", where=f"task {self.name!r}")
        object.__setattr__(self, "parents", tuple(self.parents))
        if not (np.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f"expected a weight above 0, found {self.weight}.", where=f"task {self.name!r}")
        if len(self.columns) > 1 and not self.vector:
            kind = type(self).__name__
            raise ConfigError(
                f"expected one target column for {kind}, found {len(self.columns)}: {', '.join(self.columns)}.",
                where=f"task {self.name!r}",
                do="Declare one task per column, or use Multilabel or Regression, which take several.",
            )
        for field, known in _choices(type(self)).items():
            if (found := getattr(self, field)) not in known:
                raise ConfigError(
                    f"{field}: {found!r}.", where=f"task {self.name!r}", do=did_you_mean(str(found), known)
                )
        if self.metric and self.metric not in {m.name for m in self.metrics()}:
            raise ConfigError(
                f"{self.metric!r} is no metric of this task.",
                where=f"task {self.name!r}",
                do=did_you_mean(self.metric, [m.name for m in self.metrics()]),
            )

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric of the task; the first one is the default."""

    @property
    def main_metric(self) -> Metric:
        """The metric named by the user, or the first."""
        return next((m for m in self.metrics() if m.name == self.metric), self.metrics()[0])

    @abstractmethod
    def fit(self, labels: pl.DataFrame) -> Target:
        """What the labels of the training split (columns ``self.columns``, nulls allowed) teach.

        :raises polytask.errors.TaskError: constant, all missing, or of the wrong kind.
        """

    @abstractmethod
    def restore(self, learned: Mapping[str, Any]) -> Target:
        """The target again from :meth:`Target.learned` (read back from JSON)."""

    @abstractmethod
    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """The loss of every row: ``(N, G, K), (N, G, W) -> (N, G)``.

        Missing targets (NaN) must give finite losses with finite gradients: replace them by a valid value first.
        With several target columns (or labels) the row's loss is the mean over its present ones.

        :param constants: tensors that differ between the G tasks (class weights, ...), stacked to ``(G, ...)``.
        """

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor | None:
        """The loss of every row against what another model of the task puts out: ``(N, G, K), (N, G, K) -> (N, G)``.

        None: this kind of task learns from labels only.
        """
        return None


class Target(ABC):
    """A task with what it learned on the training split. Immutable."""

    task: Task

    unit: ClassVar[Unit] = "row"
    """What a label belongs to.

    Labels of words are encoded one after the other, ``(M, W)``, for rows whose label is present; lists as
    :class:`~polytask.batch.Ragged`. A label that training never saw is negative there: an error in every metric.
    """

    @property
    def head(self) -> str:
        """What answers the task: ``"linear"``, or a name of ``polytask.nets.task_heads.TASK_HEADS``."""
        return "linear"

    @property
    @abstractmethod
    def outputs(self) -> int:
        """K: numbers that the head puts out per row."""

    @property
    @abstractmethod
    def width(self) -> int:
        """W: columns of the encoded target."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What was learned, as JSON values: ``task.restore(learned)`` gives an equal target."""

    @abstractmethod
    def encode(self, labels: pl.DataFrame) -> Tensor | Ragged:
        """Labels as ``(N, W)`` float32, NaN where missing.

        A class never seen in training is NaN too, and counted by :meth:`unseen`.
        :raises polytask.errors.DataError: a value of the wrong kind, with its row.
        """

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that training never saw, with how often they occur."""
        return {}

    @abstractmethod
    def truth(self, encoded: Any) -> Array:
        """Encoded labels of labelled rows in the units that metrics use: ``(n, W)`` float64.

        Of words and lists, given as :class:`~polytask.batch.Ragged`: ``(n,)`` objects, an array per row.
        """

    @abstractmethod
    def bias(self) -> Tensor:
        """``(K,)``: outputs of the best constant predictor; heads start there."""

    def constants(self) -> dict[str, Tensor]:
        """Tensors that the loss of this task needs; each is stacked over the tasks of a head group."""
        return {}

    def reduce(self, outputs: Tensor) -> Tensor:
        """What of the outputs of a batch must be kept for :meth:`answer`: all of it, unless K is large."""
        return outputs

    @abstractmethod
    def answer(self, outputs: Any) -> dict[str, Array]:
        """Head outputs ``(N, K)`` as numbers with a meaning: probabilities, means, bounds; always float64.

        Of words and lists, given as :class:`~polytask.batch.Ragged`: ``(N,)`` objects, an array per row.
        """

    @abstractmethod
    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """An answer as columns of a prediction table: labels, probabilities, intervals."""

    def present_words(self, answer: Answer, words: Sequence[Sequence[str]]) -> dict[str, list[Any] | NDArray[Any]]:
        """:meth:`present` for tasks whose answers are told in terms of the words of each row."""
        return self.present(answer)

    @property
    def signature(self) -> tuple[object, ...]:
        """Targets of equal signature share one batched head and loss."""
        same = {
            f.name: getattr(self.task, f.name)
            for f in dataclasses.fields(self.task)
            if f.name not in self.task.beside_loss
        }
        kind = (type(self.task), repr(same), self.outputs, self.width, tuple(sorted(self.constants())))
        return kind if self.head == "linear" else (*kind, self.task.name)

    def reference_loss(self, encoded: Any) -> float:
        """Mean loss of the best constant predictor over the labelled rows of ``encoded`` ``(N, W)``.

        It is the task's loss at the start of training (heads start at zero weights and this bias), and the unit
        in which training measures the task's loss.
        """
        constants = {k: v[None] for k, v in self.constants().items()}
        total, count = 0.0, 0
        values = encoded.values if isinstance(encoded, Ragged) else encoded
        for part in torch.split(values, _ROWS_AT_ONCE):
            rows = part[labelled(part)]
            with torch.no_grad():
                outputs = self.bias().to(torch.float32).expand(len(rows), 1, self.outputs)
                total += float(self.task.row_losses(outputs, rows[:, None], constants).double().sum())
            count += len(rows)
        return total / count if count else float("nan")


@cache
def _choices(cls: type[Task]) -> dict[str, tuple[str, ...]]:
    """The fields of a task that take one of a few words."""
    return {name: get_args(hint) for name, hint in get_type_hints(cls).items() if get_origin(hint) is Literal}


def labelled(encoded: Tensor | Ragged) -> Tensor:
    """Rows that carry a label: ``(..., W) -> (...)`` bool. One present column is enough.

    Of labels of words and lists: rows that have a list, ``(N,)``.
    """
    return encoded.present if isinstance(encoded, Ragged) else ~encoded.isnan().all(-1)
