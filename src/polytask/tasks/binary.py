"""Yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import ConfigError, TaskError, did_you_mean
from polytask.maths import scores
from polytask.tasks.best_constant import focal_probabilities
from polytask.tasks.cross_entropy import ClassWeights, binary_losses, check_options, smoothed_mass, weights_of
from polytask.tasks.distilling import soft_binary
from polytask.tasks.labels import Label, codes, column_of, decode, distinct, unseen
from polytask.tasks.soft_labels import mass_of, one_probability
from polytask.tasks.task import Answer, Array, Metric, Target, Task

_YES = frozenset({"yes", "true", "y", "t", "1", "positive", "pos"})


@dataclass(frozen=True, kw_only=True)
class Binary(Task):
    """One of two classes: one logit z, ``p = 1 / (1 + exp(-z))`` is the probability of the positive class.

    Labels are booleans, two numbers or two strings. The positive class is ``positive`` when given; else, of two
    strings, the one that says yes ("yes", "true", "y", "t", "1", "positive", "pos" in any case); else the one that
    sorts last: True, 1 of 0 and 1, 2 of 1 and 2. Labels are predicted at p >= 0.5. Focal loss, class weights and
    label smoothing make p a ranking rather than a calibrated probability.

    :param loss: ``"cross_entropy"`` or ``"focal"``: ``-(1 - p_y)^gamma log p_y`` (Lin, Goyal, Girshick, He and Dollár,
        Focal loss for dense object detection, ICCV 2017).
    :param gamma: exponent of the focal loss; 0 is cross-entropy.
    :param label_smoothing: e: targets become ``y (1 - e) + e/2``.
    :param class_weights: factors on the losses of (negative, positive) rows; ``"balanced"``: ``n / (2 n_c)``.
    :param positive: the label of the positive class.
    :param soft: labels are probabilities of yes, from 0 to 1. The loss is the cross-entropy to them; metrics take 0.5
        and more for a yes.
    """

    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: float = 2.0
    label_smoothing: float = 0.0
    class_weights: ClassWeights = None
    positive: bool | int | float | str | None = None
    soft: bool = False

    beside_loss: ClassVar[frozenset[str]] = Task.beside_loss | {"positive", "soft"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self.name, self.gamma, self.label_smoothing, self.class_weights)
        if self.soft and (self.class_weights is not None or self.positive is not None):
            raise ConfigError(
                "soft labels have neither class_weights nor a positive label: they are probabilities of yes.",
                where=f"task {self.name!r}",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """AUC (default), log loss, accuracy, Brier score and F1 of the positive class."""
        return BINARY_METRICS

    def fit(self, labels: pl.DataFrame) -> BinaryTarget:
        """The two classes and their frequencies.

        :raises TaskError: not exactly two labels, or ``positive`` is neither.
        """
        classes: tuple[Label, ...] = (False, True)
        if self.soft:
            yes = one_probability(labels, self.columns[0], self.name)
            counts = mass_of(np.stack([1 - yes, yes], 1), self.name, self.columns)
        else:
            classes, counts = two_classes(column_of(labels, self.columns[0], self.name), self.name, self.positive)
        weights = weights_of(self.name, self.class_weights, counts)
        start = best_logit(counts, weights, self.loss, self.gamma, self.label_smoothing)
        return BinaryTarget(self, classes, start, weights)

    def restore(self, learned: Mapping[str, Any]) -> BinaryTarget:
        """The target again from what it learned."""
        return BinaryTarget(self, tuple(learned["classes"]), learned["start"], tuple(learned["class_weights"]))

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy or focal loss of every row: ``(N, G, 1), (N, G, 1) -> (N, G)``."""
        truth = targets[..., 0].nan_to_num(0.0)
        losses = binary_losses(outputs[..., 0], truth, self.loss, self.gamma, self.label_smoothing)
        if "class_weights" not in constants:
            return losses
        negative, positive = constants["class_weights"].unbind(-1)
        return losses * (negative + truth * (positive - negative))

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Cross-entropy to the teacher's probability."""
        return soft_binary(outputs, teacher, temperature)[..., 0]


@dataclass(frozen=True)
class BinaryTarget(Target):
    """A binary task and its two labels.

    :param classes: (negative, positive).
    :param start: logit of the best constant predictor.
    :param class_weights: of (negative, positive); empty without weights.
    """

    task: Binary
    classes: tuple[Label, ...]
    start: float
    class_weights: tuple[float, ...] = ()

    outputs = 1
    width = 1

    def learned(self) -> dict[str, Any]:
        """Classes, start and class weights."""
        return {"classes": list(self.classes), "start": self.start, "class_weights": list(self.class_weights)}

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """1 for the positive class, 0 for the negative one, NaN where missing or unseen: ``(N, 1)``."""
        if self.task.soft:
            yes = one_probability(labels, self.task.columns[0], self.task.name)
            return torch.from_numpy(yes.astype(np.float32))[:, None]
        series = column_of(labels, self.task.columns[0], self.task.name)
        return torch.from_numpy(codes(series, self.classes, self.task.name).copy())[:, None]

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that are neither class."""
        if self.task.soft:
            return {}
        return unseen(column_of(labels, self.task.columns[0], self.task.name), self.classes, self.task.name)

    def truth(self, encoded: Tensor) -> Array:
        """0 and 1, ``(n, 1)``."""
        values = encoded >= 0.5 if self.task.soft else encoded
        return values.double().cpu().numpy()

    def bias(self) -> Tensor:
        """The logit of the base rate (for a plain cross-entropy)."""
        return torch.tensor([self.start], dtype=torch.float32)

    def constants(self) -> dict[str, Tensor]:
        """``class_weights`` ``(2,)`` where the task has them."""
        return {"class_weights": torch.tensor(self.class_weights, dtype=torch.float32)} if self.class_weights else {}

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``probability`` ``(n,)`` of the positive class."""
        return {"probability": torch.sigmoid(outputs.detach().double()[:, 0]).cpu().numpy()}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """The label, and the probability of the positive class."""
        column = self.task.columns[0]
        probability = answer["probability"]
        return {
            column: decode(self.classes, (probability >= 0.5).astype(np.int64)),
            f"{column}_probability": probability,
        }


def two_classes(series: pl.Series, task: str, positive: Label | None) -> tuple[tuple[Label, ...], Array]:
    """(negative, positive) and their counts.

    :raises TaskError: not exactly two labels, or ``positive`` is neither of them.
    """
    classes, counts = distinct(series, task)
    place = f"task {task!r}, column {series.name!r}"
    if len(classes) > 2:
        shown = ", ".join(repr(label) for label in classes[:6]) + (", ..." if len(classes) > 6 else "")
        raise TaskError(
            f"expected two different labels, found {len(classes)}: {shown}.",
            where=place,
            do="Declare it as multiclass, or as ordinal if the labels have an order; or merge labels into two.",
        )
    if positive is None:
        says_yes = [isinstance(label, str) and label.strip().lower() in _YES for label in classes]
        first = says_yes == [True, False]
    elif positive in classes:
        first = positive == classes[0]
    else:
        raise TaskError(
            f"positive: {positive!r} is no label of this column.",
            where=place,
            do=did_you_mean(str(positive), [str(label) for label in classes]),
        )
    return (classes[::-1], counts[::-1].astype(np.float64)) if first else (classes, counts.astype(np.float64))


def best_logit(counts: Array, weights: tuple[float, ...], loss: str, gamma: float, label_smoothing: float) -> float:
    """The constant logit of least loss, for the counts of (negative, positive)."""
    mass = smoothed_mass(counts, weights, label_smoothing)
    negative, positive = focal_probabilities(mass, gamma if loss == "focal" else 0.0)
    return float(np.log(positive) - np.log(negative))


def predicted(probability: Array) -> Array:
    """Codes of the predicted labels: 1 where p >= 0.5."""
    return (probability >= 0.5).astype(np.float64)


BINARY_METRICS = (
    Metric("auc", True, lambda answer, truth: scores.auc(truth[:, 0], answer["probability"]), 1.0),
    Metric("log_loss", False, lambda answer, truth: scores.log_loss(truth[:, 0], answer["probability"]), 0.0),
    Metric("accuracy", True, lambda answer, truth: scores.accuracy(truth[:, 0], predicted(answer["probability"])), 1.0),
    Metric("brier", False, lambda answer, truth: scores.brier(truth[:, 0], answer["probability"]), 0.0),
    Metric("f1", True, lambda answer, truth: scores.f1(truth[:, 0], predicted(answer["probability"])), 1.0),
)
