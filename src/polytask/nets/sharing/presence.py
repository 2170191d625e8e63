"""Which units of a batch carry a label of which task: rows, and in texts the words behind them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.batch import Targets
from polytask.tasks.task import Target, labelled


def presence(targets: Targets, tasks: Sequence[str], units: int) -> Tensor:
    """1 where a unit carries a label of a task, else 0: ``(units, T)`` float32.

    :param units: N rows, or N texts and then their M words. A label of a row or a list belongs to the row, labels of
        words to the words.
    """
    found = torch.zeros(units, len(tasks), device=targets.values.device)
    rows = len(targets)
    for i, task in enumerate(tasks):
        if task in targets.lists:
            found[:rows, i] = labelled(targets.lists[task]).to(found.dtype)
        elif task in targets.word_layout:
            found[rows:, i] = labelled(targets[task]).to(found.dtype)
        else:
            found[:rows, i] = labelled(targets[task]).to(found.dtype)
    return found


def of_unit(values: Tensor, target: Target, rows: int) -> Tensor:
    """The values ``(N, ...)`` of rows, or of words ``(M, ...)``, that a task is about, among ``(N + M, ...)``."""
    return values[rows:] if target.unit == "word" else values[:rows]


def is_linear(target: Target) -> bool:
    """Whether a linear layer on rows or words can answer the task, be it worse than its own head."""
    return target.unit != "list" and target.head in {"linear", "crf"}
