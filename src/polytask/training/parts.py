"""A model together with the tasks it answers for: a fitted learner routes each task to its part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polytask.data.table import Table
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.model import Model
from polytask.nets.sharing.sharing import Sharing
from polytask.tasks.task import Target
from polytask.training.scoring import ROWS, Answers, forward_rows
from polytask.training.threads import thread_count, threads


@dataclass(frozen=True)
class Part:
    """One trunk and the tasks that are predicted with it.

    :param name: unique among the parts of a learner; prefix of its weights on disk.
    :param targets: the tasks it answers for. The model may know more (tasks that are better elsewhere, auxiliary ones).
    :param encoder, sharing: what the model was built from.
    """

    name: str
    targets: tuple[Target, ...]
    encoder: Encoder
    sharing: Sharing
    model: Model

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it answers for."""
        return tuple(target.task.name for target in self.targets)


def routed_outputs(parts: Sequence[Part], table: Table) -> Answers:
    """Head outputs of every task, each from the part that answers for it."""
    found: Answers = {}
    for part in parts:
        with threads(thread_count(part.model, min(len(table), ROWS) // 3)):
            outputs = forward_rows(part.model, table)
        found |= {name: outputs[name] for name in part.tasks}
    return found
