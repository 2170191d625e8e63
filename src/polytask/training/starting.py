"""Where the first weights of a model come from: an earlier model, as far as it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from polytask.errors import ConfigError
from polytask.nets.model import Model
from polytask.tasks.task import Target
from polytask.training.artefact import artefact_in, read_artefact


def start_from(model: Model, state: Mapping[str, Tensor], *, where: str) -> tuple[str, ...]:
    """Copy weights that have the same name and shape; all others keep the values that they were drawn with.

    :param state: of :meth:`~polytask.nets.model.Model.task_state`.
    :returns: the keys that were copied.
    :raises polytask.errors.ConfigError: nothing of what the tasks share fits.
    """
    own = model.task_state()
    fits = tuple(key for key, value in own.items() if key in state and state[key].shape == value.shape)
    if not any(key.startswith("shared.") for key in fits):
        raise ConfigError(
            "nothing that its tasks share fits this model.",
            where=where,
            do="Start from a model with the same encoder and the same way of sharing.",
        )
    model.load_task_state(own | {key: state[key] for key in fits})
    return fits


def saved_state(folder: str | Path, targets: Sequence[Target]) -> dict[str, Tensor]:
    """The weights of a saved model that may start a model for these tasks.

    Its shared weights, and those of tasks with the same name that learned the same of their labels: the weights of a
    head mean nothing for other classes.

    :raises polytask.errors.RunError: the folder holds no model.
    """
    part = read_artefact(artefact_in(Path(folder))).parts[0]
    learned = {target.task.name: target.learned() for target in part.targets}
    same = [t.task.name for t in targets if learned.get(t.task.name) == t.learned() and t.task.name in part.model.tasks]
    prefixes = ("shared.", *(f"{kind}.{name}." for name in same for kind in ("heads", "tasks")))
    return {key: value for key, value in part.model.task_state().items() if key.startswith(prefixes)}
