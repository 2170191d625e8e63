"""Clusters of numbers on a line, exactly."""

from __future__ import annotations

import torch
from torch import Tensor


def cluster_means(values: Tensor, groups: int) -> Tensor:
    """Each number ``(T,)`` replaced by the mean of its cluster, for the best partition into at most ``groups``.

    ``minimise sum_t (x_t - mean of the cluster of t)^2``

    On a line the best clusters are runs of the sorted numbers, so dynamic programming over the runs is exact, where
    Lloyd's k-means depends on its start. The work is groups T^2; every number is its own cluster if T <= groups.

    :param values: finite numbers, of any floating type; solved in float64.
    :param groups: 1 or more.

    >>> cluster_means(torch.tensor([1.0, 9.0, 2.0]), 2)
    tensor([1.5000, 9.0000, 1.5000])

    Wang, Song. Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic Programming. R Journal 2011.
    """
    x, order = values.double().cpu().sort()
    ends = _ends(_spread(x), groups)
    means = torch.cat([run.mean().expand(len(run)) for run in x.tensor_split(ends)])
    return torch.empty_like(means).index_copy(0, order, means).to(values)


def _spread(x: Tensor) -> Tensor:
    """``(T + 1, T + 1)``: squared distances from their mean of the sorted numbers i, ..., j - 1; infinite if none."""
    T = len(x)
    scale = (x[-1] - x[0]).clamp_min(torch.finfo(x.dtype).tiny)
    x = (x - x[0]) / scale
    sums = torch.cat([x.new_zeros(1), x.cumsum(0)])
    squares = torch.cat([x.new_zeros(1), (x * x).cumsum(0)])
    count = torch.arange(T + 1)[None, :] - torch.arange(T + 1)[:, None]
    within = (squares - squares[:, None]) - (sums - sums[:, None]).square() / count.clamp_min(1)
    return torch.where(count > 0, within.clamp_min(0), torch.inf)


def _ends(spread: Tensor, groups: int) -> list[int]:
    """Where the runs of the best partition end, the last end left out."""
    T = len(spread) - 1
    best, choices = spread[0], []
    for _ in range(min(groups, T) - 1):
        best, choice = (best[:, None] + spread).min(0)
        choices.append(choice)
    ends, end = [], T
    for choice in reversed(choices):
        end = int(choice[end])
        ends.append(end)
    return ends[::-1]
