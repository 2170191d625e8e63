"""Where teachers come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from polytask.batch import InputSpec
from polytask.errors import ConfigError, did_you_mean
from polytask.nets.model import Model
from polytask.tasks.task import Target
from polytask.training.artefact import artefact_in, read_artefact
from polytask.training.distillation import Distillation, Teacher, Teachers


def teachers_of(
    how: Distillation | None, targets: Sequence[Target], spec: InputSpec, train: Callable[[Target], Model]
) -> Teachers | None:
    """The teachers that a recipe asks for, trained now or read from folders; None without distillation.

    :param train: trains a model of one task.
    """
    if how is None:
        return None
    if how.teachers == "single":
        chosen = {target.task.name: Teacher(train(target), target) for target in teachable(targets)}
    else:
        chosen = {name: saved_teacher(name, folder, spec) for name, folder in how.teachers.items()}
    return Teachers(chosen, targets, how)


def teachable(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The targets that can learn from what another model says: those with linear heads and a soft loss."""
    return tuple(target for target in targets if target.head == "linear" and _has_soft_loss(target))


def saved_teacher(task: str, folder: str, spec: InputSpec) -> Teacher:
    """The saved model that teaches a task.

    :param spec: of the student: both must read the same inputs.
    :raises polytask.errors.ConfigError: the model has no such task, or reads other inputs.
    :raises polytask.errors.RunError: the folder holds no model.
    """
    where = f"distillation.teachers.{task}"
    artefact = read_artefact(artefact_in(Path(folder)))
    for part in artefact.parts:
        for target in part.targets:
            if target.task.name == task:
                if artefact.schema.spec != spec:
                    raise ConfigError(
                        "the teacher reads other inputs than this model.",
                        where=where,
                        do="Train teacher and student on the same training table, or start from the teacher "
                        "(init_from), whose schema is then taken over.",
                    )
                return Teacher(part.model, target)
    names = [target.task.name for part in artefact.parts for target in part.targets]
    raise ConfigError(f"the model in {folder} has no task {task!r}.", where=where, do=did_you_mean(task, names))


def _has_soft_loss(target: Target) -> bool:
    probe = torch.zeros(1, 1, target.outputs)
    return target.task.soft_losses(probe, probe, 1.0) is not None
