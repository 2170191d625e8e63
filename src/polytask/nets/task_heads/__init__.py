"""Heads that tasks bring: name -> class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polytask.errors import TaskError, did_you_mean
from polytask.nets.task_heads.biaffine import BiaffineHead
from polytask.nets.task_heads.crf import CRFHead
from polytask.nets.task_heads.decoder import DecoderHead
from polytask.nets.task_heads.head import TaskHead
from polytask.nets.task_heads.spans import SpanHead
from polytask.tasks.task import Target

TASK_HEADS: Mapping[str, Callable[[Target, int], TaskHead]] = {
    "crf": CRFHead,
    "biaffine": BiaffineHead,
    "spans": SpanHead,
    "decoder": DecoderHead,
}


def task_head(target: Target, width: int) -> TaskHead:
    """The head that a target asks for.

    :param width: D, numbers per row and word that it reads.
    :raises polytask.errors.TaskError: there is no such head.
    """
    if target.head not in TASK_HEADS:
        raise TaskError(
            f"there is no head {target.head!r}.",
            where=f"task {target.task.name!r}",
            do=did_you_mean(target.head, TASK_HEADS),
        )
    return TASK_HEADS[target.head](target, width)
