"""A random part of a batch, from which weights are taken while the update uses all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from polytask.balancing.losses import Losses
from polytask.errors import ConfigError, UserError

Features: TypeAlias = Tensor | Sequence[Tensor]

Forward: TypeAlias = Callable[[Tensor], Losses | tuple[Losses, Features]]
"""``forward(rows)``: losses of these rows of the batch, computed anew; with their features for ``on="features"``."""

FEWEST = 2
"""Rows of a part, if there are as many: batch normalisation cannot be trained on one."""


def draw_rows(labelled: Tensor | int, share: float, rng: Generator) -> Tensor:
    """Random rows of a batch, ascending: ``(n,)`` int64, with the same share of every task's labelled rows.

    A task with m labelled rows keeps ``ceil(share m)`` of them at least, so none that is in the batch is absent from
    the part. With all labels there, ``n = ceil(share N)``; otherwise n may be larger.

    :param labelled: ``(N, T)`` bool: which rows carry a label of which task; or N, when all carry all labels.
    :param share: in (0, 1].
    :param rng: on the CPU.

    >>> labelled = torch.tensor([[True, False]] * 7 + [[False, True]])
    >>> rows = draw_rows(labelled, 0.25, torch.Generator().manual_seed(0))
    >>> len(rows), int(rows[-1])  # two of seven, and the only row of the second task
    (3, 7)
    """
    mask = torch.ones(labelled, 1, dtype=torch.bool) if isinstance(labelled, int) else labelled
    N = len(mask)
    order = torch.randperm(N, generator=rng).to(mask.device)
    shuffled = mask[order]
    quota = (shuffled.sum(0) * share - 1e-9).ceil()  # 0.1 * 30 is above 3
    chosen = (shuffled & (shuffled.cumsum(0) <= quota)).any(1)
    chosen[:FEWEST] |= int(chosen.sum()) < FEWEST
    return order[chosen].sort().values


def check_share(share: float | None) -> None:
    """Refuse a share of rows that is none.

    :raises ConfigError: it is not in (0, 1].
    """
    if share is not None and not (0 < share <= 1 and math.isfinite(share)):
        raise ConfigError(f"expected rows in (0, 1], found {share}.", where="balancer")


def look_again(
    forward: Forward | None, labelled: Tensor | int | None, share: float, rng: Generator
) -> tuple[Losses, Features | None]:
    """Losses (and features, if they were given) of a random part of the rows.

    One number is drawn from ``rng`` whatever the rows, so that the generators of several processes stay in step.

    :raises UserError: there is nothing to call, or nothing to draw from.
    """
    if forward is None or labelled is None:
        raise UserError(
            f"rows={share} takes the weights from a part of the rows, and there is no way to compute its losses.",
            where="forward" if forward is None else "labelled",
            do="Call backward(..., forward=lambda rows: losses of these rows, labelled=number of rows or (N, T) mask).",
        )
    seed = int(torch.randint(2**62, (), generator=rng))
    rows = draw_rows(labelled, share, torch.Generator().manual_seed(seed))
    answer = forward(rows)
    return answer if isinstance(answer, tuple) else (answer, None)
