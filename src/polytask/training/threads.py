"""How many CPU threads PyTorch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 5e7
"""Parameters times rows below which one thread is best (a training step of about 10 ms)."""


def thread_count(model: nn.Module, rows: int) -> int:
    """One for small work, which gains nothing from more and waits for them on a busy machine; else PyTorch's number.

    :param rows: of one pass forward and backward; a third of them for a pass forward only.
    """
    work = sum(p.numel() for p in model.parameters()) * rows
    return 1 if work < SMALL else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads here, and as many as before afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
