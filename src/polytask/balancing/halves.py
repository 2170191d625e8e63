"""Two disjoint halves of a batch, for methods that multiply gradients of independent samples (``modo``, ``sdmgrad``).

``J1 J1^T`` counts the noise of one sample as if it were gradient; ``J1 J2^T`` does not, on average.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from polytask.balancing import losses as door
from polytask.balancing.engine.engine import Ranks
from polytask.balancing.losses import Given, Losses
from polytask.balancing.part import FEWEST, Forward, draw_rows
from polytask.batch import TaskLosses


def draw_halves(labelled: Tensor | int, share: float, rng: Generator) -> tuple[Tensor, Tensor]:
    """Two disjoint random halves of the rows (of a part of them, ``share``), ascending: ``(n,)`` and ``(m,)`` int64.

    Each has half of every task's labelled rows; of an odd number the first has one more.
    """
    mask = torch.ones(labelled, 1, dtype=torch.bool) if isinstance(labelled, int) else labelled
    rows = draw_rows(mask, share, rng) if share < 1 else torch.arange(len(mask), device=mask.device)
    first = draw_rows(mask[rows], 0.5, rng)
    others = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    others[first] = False
    return rows[first], rows[others]


def look_twice(
    forward: Forward,
    labelled: Tensor | int,
    share: float,
    rng: Generator,
    *,
    names: tuple[str, ...],
    ranks: Ranks | None,
) -> Given | None:
    """Losses of two halves of the rows, those of the first before those of the second: 2T losses of T tasks.

    None if a half is too small or lacks one of the tasks, here or on another process.

    :param names: the T tasks of the batch.
    """
    seed = int(torch.randint(2**62, (), generator=rng))  # one number, so that processes stay in step
    halves = draw_halves(labelled, share, torch.Generator().manual_seed(seed))
    enough = torch.tensor(float(min(len(rows) for rows in halves) >= FEWEST), device=halves[0].device)
    if float(enough if ranks is None else ranks.mean(enough)) < 1:
        return None
    found = []
    for rows in halves:
        answer = forward(rows)
        losses = answer[0] if isinstance(answer, tuple) else answer
        if _present(losses) != names:
            return None
        found.append(door.read(losses).values())
    return Given((*(f"{name}/1" for name in names), *(f"{name}/2" for name in names)), (torch.cat(found),))


def _present(losses: Losses) -> tuple[str, ...]:
    """The tasks that are there, which may be none."""
    if isinstance(losses, TaskLosses):
        return losses.names
    return tuple(name for name, loss in losses.items() if loss is not None)


def products(gramian: Tensor, tasks: int) -> tuple[Tensor, Tensor | None]:
    """The Gramian ``(T, T)`` of the mean gradients, and ``J1 J2^T``, from the Gramian ``(2T, 2T)`` of both halves.

    A Gramian ``(T, T)`` stays what it is, and there is no second one.
    """
    if len(gramian) == tasks:
        return gramian, None
    blocks = gramian.reshape(2, tasks, 2, tasks)
    return blocks.sum((0, 2)) / 4, blocks[0, :, 1]
