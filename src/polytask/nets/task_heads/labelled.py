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
    owner = owners(units.counts)
    texts = torch.zeros(len(units.counts), dtype=torch.bool, device=labels.device)
    texts[owner[~labels.isnan().all(-1)]] = True
    if not texts.any():
        return None
    return (units, labels) if texts.all() else (of_texts(units, texts), labels[texts[owner]])


def of_texts(units: Units, texts: Tensor) -> Units:
    """The units of some texts, ``(N,)`` bool."""
    return Units(units.rows[texts], units.words[texts[owners(units.counts)]], units.counts[texts])


def owners(counts: Tensor) -> Tensor:
    """The text of each word: ``(N,) -> (M,)``."""
    return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)


def places(counts: Tensor) -> Tensor:
    """The place of each word in its text, from 0 on: ``(N,) -> (M,)``."""
    starts = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    return torch.arange(len(starts), device=counts.device) - starts


def padded(values: Tensor, real: Tensor, fill: float = 0.0) -> Tensor:
    """Values of words text by text: ``(M, ...), (N, L) -> (N, L, ...)``."""
    whole = values.new_full((*real.shape, *values.shape[1:]), fill)
    whole[real] = values
    return whole
