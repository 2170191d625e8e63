r"""Learning from teachers: models that were trained for single tasks before.

.. math:: L_t = \lambda \, \ell_t(y) + (1 - \lambda) \, \ell_t(\text{teacher}),
          \qquad \lambda = \text{step} / \text{steps} \text{ with annealing}

The student begins by imitating its teachers and ends with the labels, so that it may surpass them (Clark, Luong,
Khandelwal, Manning, Le: BAM! Born-again multi-task networks for natural language understanding. ACL 2019). Teachers
are asked about the rows that carry a label, in evaluation mode; what they answer is not stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polytask.batch import Batch, Ragged
from polytask.errors import ConfigError, TaskError
from polytask.nets.model import Model, Outputs
from polytask.tasks.task import Target, labelled


@dataclass(frozen=True)
class Distillation:
    """How a student listens to its teachers.

    :param teachers: ``"single"``: a model per task is trained first, on the same rows with the same encoder; or folders
        of saved models by task. Tasks without a teacher learn from labels alone.
    :param annealing: from teachers to labels in even steps over the training (BAM); False: ``weight`` throughout.
    :param weight: the teachers' share of the loss without annealing, in [0, 1].
    :param temperature: divides logits of both sides; above 1 the teacher's second thoughts weigh more.
    """

    teachers: Literal["single"] | dict[str, str] = "single"
    annealing: bool = True
    weight: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"expected a share from 0 to 1, found {self.weight}.", where="distillation.weight")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"expected a number above 0, found {self.temperature}.", where="distillation.temperature")

    def share(self, step: int, total: int) -> float:
        """The teachers' share of the loss in a step (from 0) of so many.

        >>> Distillation().share(0, 10), Distillation().share(9, 10), Distillation(annealing=False).share(9, 10)
        (1.0, 0.1, 0.5)
        """
        return max(0.0, round(1 - step / max(1, total), 12)) if self.annealing else self.weight


@dataclass(frozen=True)
class Teacher:
    """A trained model that knows a task."""

    model: Model
    target: Target


class Teachers(nn.Module):
    """The teachers of a training, and the loss against them.

    :param teachers: task -> a model that answers it, with the same classes (or units) of its labels as the student.
    :raises polytask.errors.TaskError: a teacher of another kind of task, or of other classes, or a task that cannot
        be taught.
    """

    def __init__(self, teachers: Mapping[str, Teacher], targets: Sequence[Target], how: Distillation) -> None:
        super().__init__()
        self.how = how
        self.tasks = tuple(target.task.name for target in targets if target.task.name in teachers)
        self._targets = {target.task.name: target for target in targets}
        for name in self.tasks:
            _check(self._targets[name], teachers[name].target)
        chosen = [teachers[name].model for name in self.tasks]
        for model in chosen:
            model.requires_grad_(requires_grad=False)
        self._names = [teachers[name].target.task.name for name in self.tasks]
        self.models = nn.ModuleList(chosen)
        self.train(mode=False)

    def mixed(self, sums: Tensor, student: Model, outputs: Outputs, batch: Batch, share: float) -> Tensor:
        """Summed losses ``(T,)`` of a batch in which the teachers have their share."""
        if share == 0.0 or not self.tasks:
            return sums
        said = student.answers(outputs)
        parts = list(sums.unbind())
        for name, own_name, model in zip(self.tasks, self._names, self.models, strict=True):
            with torch.no_grad():
                taught = model.answer(batch.inputs, [own_name])[own_name]  # type: ignore[operator]  # a ModuleList forgets
            position = student.tasks.index(name)
            soft = self._sum(name, _values(said[name]), _values(taught), labelled(batch.targets[name]))
            scaled = soft * student.scale[position].to(soft.dtype)
            parts[position] = (1 - share) * parts[position] + share * scaled
        return torch.stack(parts)

    def _sum(self, name: str, outputs: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
        """The summed loss of one task against its teacher, over labelled rows."""
        task = self._targets[name].task
        kept = outputs.masked_fill(~rows[:, None], 0.0).float()  # what stands in other rows reaches no gradient
        losses = task.soft_losses(kept[:, None], teacher.float()[:, None], self.how.temperature)
        if losses is None:
            raise _untaught(task.name, type(task).__name__)
        return (losses[:, 0] * rows).sum()


def _values(answer: Tensor | Ragged) -> Tensor:
    return answer.values if isinstance(answer, Ragged) else answer


def _check(student: Target, teacher: Target) -> None:
    where = f"task {student.task.name!r}"
    if type(student.task) is not type(teacher.task):
        raise TaskError(
            f"expected a teacher of {type(student.task).__name__}, found {type(teacher.task).__name__}.", where=where
        )
    if _meaning(student) != _meaning(teacher):
        raise TaskError(
            "the teacher learned other classes, or other units, than these training labels have.",
            where=where,
            do="Train the teacher on the same training table, or start from it (init_from), which takes them over.",
        )
    probe = torch.zeros(1, 1, student.outputs)
    if student.head != "linear" or student.task.soft_losses(probe, probe, 1.0) is None:
        raise _untaught(student.task.name, type(student.task).__name__)


def _meaning(target: Target) -> dict[str, Any]:
    """What the outputs of a target mean: its classes, its units; not how often they occur."""
    return {key: value for key, value in target.learned().items() if key not in {"start", "class_weights"}}


def _untaught(name: str, kind: str) -> TaskError:
    return TaskError(f"{kind} learns from labels only.", where=f"task {name!r}", do="Leave it out of the teachers.")
