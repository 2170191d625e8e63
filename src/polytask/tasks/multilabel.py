"""Several yes-or-no labels of one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.maths import scores
from polytask.tasks.binary import best_logit, predicted, two_classes
from polytask.tasks.cross_entropy import binary_losses, check_options, weights_of
from polytask.tasks.distilling import soft_binary
from polytask.tasks.labels import Label, codes, column_of, decode, unseen
from polytask.tasks.task import Answer, Array, Metric, Target, Task


@dataclass(frozen=True, kw_only=True)
class Multilabel(Task):
    """W binary labels as one task: W logits; a row's loss is the mean over its present labels.

    Every column follows the rules of a binary task: two labels, the positive one says yes or sorts last. Labels
    may be missing one by one. As separate binary tasks they would each get their own verdict and weight.

    :param loss: ``"cross_entropy"`` or ``"focal"`` (Lin, Goyal, Girshick, He and Dollár, ICCV 2017).
    :param gamma: exponent of the focal loss; 0 is cross-entropy.
    :param label_smoothing: e: targets become ``y (1 - e) + e/2``.
    :param class_weights: ``"balanced"``: in every column, rows weigh ``n / (2 n_c)``.
    """

    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: float = 2.0
    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | None = None

    vector: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self.name, self.gamma, self.label_smoothing, self.class_weights)

    def metrics(self) -> tuple[Metric, ...]:
        """Log loss (default), Hamming accuracy, macro AUC, macro F1: each the mean over labels of the binary metric."""
        return MULTILABEL_METRICS

    def fit(self, labels: pl.DataFrame) -> MultilabelTarget:
        """The two classes of every column, and their frequencies.

        :raises TaskError: a column without exactly two labels.
        """
        series = [column_of(labels, column, self.name) for column in self.columns]
        found = [two_classes(s, self.name, None) for s in series]
        encoded = np.stack([codes(s, c, self.name) for s, (c, _) in zip(series, found, strict=True)], 1)
        weights = tuple(weights_of(self.name, self.class_weights, counts) for _, counts in found)
        share = 1 / np.maximum((~np.isnan(encoded)).sum(1), 1)  # a row's loss is the mean over its present labels
        start = tuple(
            best_logit(
                np.array([share[column == 0].sum(), share[column == 1].sum()]),
                pair,
                self.loss,
                self.gamma,
                self.label_smoothing,
            )
            for column, pair in zip(encoded.T, weights, strict=True)
        )
        return MultilabelTarget(self, tuple(classes for classes, _ in found), start, weights)

    def restore(self, learned: Mapping[str, Any]) -> MultilabelTarget:
        """The target again from what it learned."""
        return MultilabelTarget(
            self,
            tuple(tuple(pair) for pair in learned["classes"]),
            tuple(learned["start"]),
            tuple(tuple(pair) for pair in learned["class_weights"]),
        )

    def row_losses(self, outputs: Tensor, targets: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """Mean binary loss over the present labels of every row: ``(N, G, W), (N, G, W) -> (N, G)``."""
        present = (~targets.isnan()).to(outputs.dtype)
        losses = binary_losses(outputs, targets, self.loss, self.gamma, self.label_smoothing)
        if "class_weights" in constants:
            negative, positive = constants["class_weights"].unbind(-1)
            losses = losses * (negative + targets.nan_to_num(0.0) * (positive - negative))
        return (losses * present).sum(-1) / present.sum(-1).clamp(min=1)

    def soft_losses(self, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Mean cross-entropy to the teacher's probabilities of all labels."""
        return soft_binary(outputs, teacher, temperature).mean(-1)


@dataclass(frozen=True)
class MultilabelTarget(Target):
    """A multilabel task and the two labels of every column.

    :param classes: (negative, positive) of every column.
    :param start: logits of the best constant predictor.
    :param class_weights: of (negative, positive) of every column; empty pairs without weights.
    """

    task: Multilabel
    classes: tuple[tuple[Label, ...], ...]
    start: tuple[float, ...]
    class_weights: tuple[tuple[float, ...], ...]

    @property
    def outputs(self) -> int:
        """W: one logit per label."""
        return len(self.classes)

    @property
    def width(self) -> int:
        """W: labels."""
        return len(self.classes)

    def learned(self) -> dict[str, Any]:
        """Classes, start and class weights."""
        return {
            "classes": [list(pair) for pair in self.classes],
            "start": list(self.start),
            "class_weights": [list(pair) for pair in self.class_weights],
        }

    def encode(self, labels: pl.DataFrame) -> Tensor:
        """1, 0, or NaN where missing or unseen: ``(N, W)``."""
        name = self.task.name
        columns = zip(self.task.columns, self.classes, strict=True)
        return torch.from_numpy(np.stack([codes(column_of(labels, c, name), pair, name) for c, pair in columns], 1))

    def unseen(self, labels: pl.DataFrame) -> dict[str, int]:
        """Labels that are neither class of their column, as ``column=label``."""
        name = self.task.name
        return {
            f"{column}={label}": n
            for column, pair in zip(self.task.columns, self.classes, strict=True)
            for label, n in unseen(column_of(labels, column, name), pair, name).items()
        }

    def truth(self, encoded: Tensor) -> Array:
        """0, 1 and NaN, ``(n, W)``."""
        return encoded.double().cpu().numpy()

    def bias(self) -> Tensor:
        """The logits of the base rates (for a plain cross-entropy)."""
        return torch.tensor(self.start, dtype=torch.float32)

    def constants(self) -> dict[str, Tensor]:
        """``class_weights`` ``(W, 2)`` where the task has them."""
        if self.task.class_weights is None:
            return {}
        return {"class_weights": torch.tensor(self.class_weights, dtype=torch.float32)}

    def answer(self, outputs: Tensor) -> dict[str, Array]:
        """``probabilities`` ``(n, W)`` of the positive classes."""
        return {"probabilities": torch.sigmoid(outputs.detach().double()).cpu().numpy()}

    def present(self, answer: Answer) -> dict[str, list[Any] | NDArray[Any]]:
        """For every column the label, and the probability of its positive class."""
        table: dict[str, list[Any] | NDArray[Any]] = {}
        for column, pair, p in zip(self.task.columns, self.classes, answer["probabilities"].T, strict=True):
            table[column] = decode(pair, (p >= 0.5).astype(np.int64))
            table[f"{column}_probability"] = p
        return table


def _metric(name: str, higher: bool, best: float, rows: Callable[[Array, Array], Array]) -> Metric:
    def score(answer: Answer, truth: Array) -> Array:
        p = answer["probabilities"]
        return scores.over_columns(truth, lambda c, present: rows(truth[present, c], p[present, c]))

    return Metric(name, higher, score, best)


MULTILABEL_METRICS = (
    _metric("log_loss", False, 0.0, scores.log_loss),
    _metric("hamming_accuracy", True, 1.0, lambda truth, p: scores.accuracy(truth, predicted(p))),
    _metric("macro_auc", True, 1.0, scores.auc),
    _metric("macro_f1", True, 1.0, lambda truth, p: scores.f1(truth, predicted(p))),
)
