"""The part of a batch that carries labels of a task: a head computes scores of nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.nets.units import Units


def with_labels(units: Units, labels: Tensor) -> tuple[Units, Tensor] | None:
    """The texts that have a labelled word, and their labels; None when there are none.

    :param labels: ``(M, W)`` of words; all NaN where one is missing.
    :returns: texts with M' words, and ``(M', W)``.
    """
    present = ~labels.isnan().all(-1)
    owner = torch.repeat_interleave(torch.arange(len(units.counts), device=labels.device), units.counts)
    texts = torch.zeros(len(units.counts), dtype=torch.bool, device=labels.device)
    texts[owner[present]] = True
    if not texts.any():
        return None
    if texts.all():
        return units, labels
    words = texts[owner]
    return Units(units.rows[texts], units.words[words], units.counts[texts]), labels[words]


def padded(values: Tensor, real: Tensor, fill: float = 0.0) -> Tensor:
    """Values of words text by text: ``(M, ...), (N, L) -> (N, L, ...)``."""
    whole = values.new_full((*real.shape, *values.shape[1:]), fill)
    whole[real] = values
    return whole
