"""Losses of classification, and what their options share: class weights, label smoothing, focal loss."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

from polytask.errors import ConfigError, TaskError

ClassWeights: TypeAlias = Literal["balanced"] | tuple[float, ...] | None
Array = NDArray[np.float64]


def check_options(task: str, gamma: float, label_smoothing: float, class_weights: ClassWeights) -> None:
    """Refuse options outside their range.

    :raises ConfigError: gamma below 0, smoothing outside [0, 1), or weights that are not positive numbers.
    """
    place = f"task {task!r}"
    if not (np.isfinite(gamma) and gamma >= 0):
        raise ConfigError(f"gamma: expected a number of at least 0, found {gamma}.", where=place)
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing: expected a number in [0, 1), found {label_smoothing}.", where=place)
    if class_weights is None or class_weights == "balanced":
        return
    if isinstance(class_weights, str) or not all(np.isfinite(w) and w > 0 for w in class_weights):
        raise ConfigError(
            f"class_weights: expected 'balanced' or one number above 0 per class, found {class_weights!r}.", where=place
        )


def weights_of(task: str, choice: ClassWeights, counts: Array) -> tuple[float, ...]:
    """The weight of each class: ``n / (C n_c)`` when balanced, so that rows weigh 1 on average; ``()`` without weights.

    :raises TaskError: not one weight per class.
    """
    if choice is None:
        return ()
    if isinstance(choice, str):
        return tuple((counts.sum() / (len(counts) * counts)).tolist())
    if len(choice) != len(counts):
        raise TaskError(
            f"class_weights: expected {len(counts)} weights, one per class in sort order, found {len(choice)}.",
            where=f"task {task!r}",
        )
    return tuple(float(w) for w in choice)


def smoothed_mass(counts: Array, weights: tuple[float, ...], label_smoothing: float) -> Array:
    """``a_c = sum_k n_k w_k q_kc``: the weight on ``-log p_c`` in the summed loss, with smoothed targets q."""
    weighted = counts * np.asarray(weights or (1.0,))
    mass: Array = (1 - label_smoothing) * weighted + label_smoothing * weighted.sum() / len(counts)
    return mass


def binary_losses(logits: Tensor, targets: Tensor, loss: str, gamma: float, label_smoothing: float) -> Tensor:
    """Elementwise loss of logits z against 0/1 targets; NaN targets count as 0.

    With ``q = y (1 - e) + e/2``: cross-entropy ``softplus(z) - q z``, or focal
    ``q (1 - p)^gamma softplus(-z) + (1 - q) p^gamma softplus(z)``.
    """
    smoothed = targets.nan_to_num(0.0)
    if label_smoothing > 0:
        smoothed = smoothed * (1 - label_smoothing) + label_smoothing / 2
    down = softplus(logits)  # -log(1 - p)
    if loss == "cross_entropy":
        return down - smoothed * logits
    up = softplus(-logits)  # -log p
    return smoothed * torch.exp(-gamma * down) * up + (1 - smoothed) * torch.exp(-gamma * up) * down


def multiclass_losses(logits: Tensor, targets: Tensor, loss: str, gamma: float, label_smoothing: float) -> Tensor:
    """Loss of logits ``(..., C)`` against codes ``(...)``; NaN codes count as class 0.

    With ``q_c = (1 - e) [c = y] + e/C``: ``sum_c q_c (1 - p_c)^gamma (-log p_c)``, gamma = 0 for cross-entropy.
    """
    penalties = _penalties(logits, loss, gamma)
    own = penalties.gather(-1, targets.nan_to_num(0.0).long()[..., None])[..., 0]
    return own if label_smoothing == 0 else (1 - label_smoothing) * own + label_smoothing * penalties.mean(-1)


def soft_target_losses(logits: Tensor, targets: Tensor, loss: str, gamma: float, label_smoothing: float) -> Tensor:
    """Loss of logits ``(..., C)`` against probabilities of the classes ``(..., C)``; NaN counts as 0.

    With ``q = (1 - e) t + e/C``: ``sum_c q_c (1 - p_c)^gamma (-log p_c)``, gamma = 0 for cross-entropy.
    """
    penalties = _penalties(logits, loss, gamma)
    own = (targets.nan_to_num(0.0) * penalties).sum(-1)
    return own if label_smoothing == 0 else (1 - label_smoothing) * own + label_smoothing * penalties.mean(-1)


def _penalties(logits: Tensor, loss: str, gamma: float) -> Tensor:
    """``(1 - p_c)^gamma (-log p_c)`` of every class ``(..., C)``."""
    penalties = -log_softmax(logits, -1)
    if loss == "focal":
        rest = -torch.expm1(-penalties)
        penalties = rest.clamp(min=1e-12) ** gamma * penalties
    return penalties


def coded_losses(logits: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of logits ``(..., C)`` against codes ``(...)`` of words.

    A negative code is a label that training never saw: its loss is the constant ``log C`` and has no gradient.
    NaN counts as class 0.
    """
    cut = logits.masked_fill((codes < 0)[..., None], 0.0)
    return multiclass_losses(cut, codes.clamp(min=0), "cross_entropy", 0.0, 0.0)


def constant_loss(logits: Tensor, codes: Tensor) -> float:
    """The mean of :func:`coded_losses` over known codes ``(M,)`` under one vector of logits ``(C,)``; NaN without any.

    It takes memory for M + C numbers, not for M times C: vocabularies are large.
    """
    known = codes[~codes.isnan()]
    if not len(known):
        return float("nan")
    losses = -log_softmax(logits.double(), -1)
    own = torch.where(known < 0, math.log(len(losses)), losses[known.clamp(min=0).long()])
    return float(own.mean())
