"""What training leaves in a learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from polytask.data.saved import AnySchema
from polytask.record.run import EpochRecord
from polytask.tasks.task import Target
from polytask.training.parts import Part
from polytask.training.scores import Scores


@dataclass(frozen=True)
class Fitted:
    """What training leaves in a learner.

    :param parts: trained models, each with the tasks it answers for; every task is in exactly one.
    :param test_scores: of the last :meth:`Learner.evaluate`.
    :param verdicts: task -> what a comparison with single-task training found, in words; for the model card.
    """

    schema: AnySchema
    parts: tuple[Part, ...]
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    best_epoch_per_task: Mapping[str, int] = field(default_factory=dict)
    test_scores: Scores | None = None
    verdicts: Mapping[str, str] | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """The fitted tasks of all parts."""
        return tuple(target for part in self.parts for target in part.targets)
