"""One of several classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import ConfigError
from polytask.maths import scores
from polytask.tasks.best_constant import focal_probabilities
from polytask.tasks.cross_entropy import (
    ClassWeights,
    check_options,
    multiclass_losses,
    smoothed_mass,
    soft_target_losses,
    weights_of,
)
from polytask.tasks.distilling import soft_multiclass
from polytask.tasks.labels import Label, codes, column_of, decode, distinct, unseen
from polytask.tasks.soft_labels import class_names, mass_of, probabilities
from polytask.tasks.task import Answer, Array, Metric, Target, Task


@dataclass(frozen=True, kw_only=True)
class Multiclass(Task):
    """One of C classes without an order: C logits, ``p = softmax(z)``.

    Labels are strings, integers, booleans or categories; the classes are those of the training rows, in sort order.
    A label never seen in training counts as missing, and is counted.

    With several columns labels are soft: a column for the probability of each class, which sum up to 1 in every row.
    The class of a column ``<task>_p_<class>`` is what stands at its end, as prediction tables have it, else its whole
    name. The loss is the cross-entropy to these probabilities; metrics look at the most probable class.

    :param loss: ``"cross_entropy"`` or ``"focal"``: ``-(1 - p_y)^gamma log p_y`` (Lin, Goyal, Girshick, He and Dollár,
        Focal loss for dense object detection, ICCV 2017).
    :param gamma: exponent of the focal loss; 0 is cross-entropy.
    :param label_smoothing: e: targets become ``(1 - e) [c = y] + e/C``.
    :param class_weights: factors on the losses of the rows of each class, in sort order; ``"balanced"``:
        ``n / (C n_c)``.
    :param top_k: also report the share of rows whose label is among the k most probable classes.
    """

    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: float = 2.0
    label_smoothing: float = 0.0
    class_weights: ClassWeights = None
    top_k: int | None = None

    vector: ClassVar[bool] = True
    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"top_k"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self.name, self.gamma, self.label_smoothing, self.class_weights)
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k: expected at least 1, found {self.top_k}.", where=f"task {self.name!r}")
        if self.soft and self.class_weights is not None:
            raise ConfigError("class_weights: soft labels have none.", where=f"task {self.name!r}")

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities, a column per class."""
        return len(self.columns) > 1

    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy (default), log loss, macro F1, and top-k accuracy where asked for."""
        if self.top_k is None:
            return MULTICLASS_METRICS
        k = self.top_k
        top = Metric(
            f"top_{k}_accuracy", True, lambda a, truth: scores.top_k_accuracy(truth[:, 0], a["probabilities"], k), 1.0
        )
        return (*MULTICLASS_METRICS, top)

    def fit(self, labels: pl.DataFrame) -> MulticlassTarget:
        """The classes and their frequencies.

        :raises TaskError: fewer than two classes.
        """
        if self.soft:
            counts = mass_of(probabilities(labels, self.columns, self.name), self.name, self.columns)
            classes: tuple[Label, ...] = class_names(self.columns, self.name)
        else:
            classes, numbers = distinct(column_of(labels, self.columns[0], self.name), self.name)
            counts = numbers.astype(np.float64)
        weights = weights_of(self.name, self.class_weights, counts)
        mass = smoothed_mass(counts, weights, self.label_smoothing)
        start = np.log(focal_probabilities(mass, self.gamma if self.loss == "focal" else 0.0))
        return MulticlassTarget(self, classes, tuple(start.tolist()), weights)

    def restore(self, learned: Mapping[str, Any]) -> MulticlassTarget:
        """The target again from what it learned."""
        return MulticlassTarget(
            self, tuple(learned["classes"]), tuple(learned["start"]), tuple(learned["class_weights"])
        )

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy or focal loss of every row: ``(N, G, C), (N, G, 1) -> (N, G)``; soft labels ``(N, G, C)``."""
        if self.soft:
            return soft_target_losses(outputs, targets, self.loss, self.gamma, self.label_smoothing)
        truth = targets[..., 0].nan_to_num(0.0)
        losses = multiclass_losses(outputs, truth, self.loss, self.gamma, self.label_smoothing)
        if "class_weights" not in constants:
            return losses
        weights = constants["class_weights"].expand(*outputs.shape)
        return losses * weights.gather(-1, truth.long()[..., None])[..., 0]

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Cross-entropy to the teacher's probabilities."""
        return soft_multiclass(outputs, teacher, temperature)


@dataclass(frozen=True)
class MulticlassTarget(Target):
    """A multiclass task and its classes.

    :param classes: the labels, in sort order.
    :param start: logits of the best constant predictor.
    :param class_weights: one per class; empty without weights.
    """

    task: Multiclass
    classes: tuple[Label, ...]
    start: tuple[float, ...]
    class_weights: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """1: the code of the class; C of soft labels."""
        return len(self.classes) if self.task.soft else 1

    @property
    def outputs(self) -> int:
        """C: one logit per class."""
        return len(self.classes)

    def learned(self) -> dict[str, Any]:
        """Classes, start and class weights."""
        return {
            "classes": list(self.classes),
            "start": list(self.start),
            "class_weights": list(self.class_weights),
        }

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """The position of the label in ``classes``, NaN where missing or unseen: ``(N, 1)``.

        Soft labels: the probabilities ``(N, C)``, all NaN where one is missing.
        """
        if self.task.soft:
            table = probabilities(labels, self.task.columns, self.task.name)
            return torch.from_numpy(table.astype(np.float32))
        series = column_of(labels, self.task.columns[0], self.task.name)
        return torch.from_numpy(codes(series, self.classes, self.task.name).copy())[:, None]

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that no training row had."""
        if self.task.soft:
            return {}
        return unseen(column_of(labels, self.task.columns[0], self.task.name), self.classes, self.task.name)

    def truth(self, encoded: Tensor) -> Array:
        """Class codes, ``(n, 1)``; of soft labels those of the most probable classes."""
        values = encoded.argmax(1, keepdim=True) if self.task.soft else encoded
        return values.double().cpu().numpy()

    def bias(self) -> Tensor:
        """The log frequencies of the classes (for a plain cross-entropy)."""
        return torch.tensor(self.start, dtype=torch.float32)

    def constants(self) -> dict[str, Tensor]:
        """``class_weights`` ``(C,)`` where the task has them."""
        return {"class_weights": torch.tensor(self.class_weights, dtype=torch.float32)} if self.class_weights else {}

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``probabilities`` ``(n, C)``."""
        return {"probabilities": torch.softmax(outputs.detach().double(), -1).cpu().numpy()}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The most probable label, and the probability of every class."""
        column, shares = self.task.name if self.task.soft else self.task.columns[0], answer["probabilities"]
        table: dict[str, list[Any] | NDArray[Any]] = {column: decode(self.classes, shares.argmax(1))}
        return table | {f"{column}_p_{label}": shares[:, i] for i, label in enumerate(self.classes)}


def _predicted(answer: Answer) -> Array:
    predicted: Array = answer["probabilities"].argmax(1).astype(np.float64)
    return predicted


MULTICLASS_METRICS = (
    Metric("accuracy", True, lambda answer, truth: scores.accuracy(truth[:, 0], _predicted(answer)), 1.0),
    Metric("log_loss", False, lambda answer, truth: scores.log_loss(truth[:, 0], answer["probabilities"]), 0.0),
    Metric("macro_f1", True, lambda answer, truth: scores.macro_f1(truth[:, 0], _predicted(answer)), 1.0),
)
