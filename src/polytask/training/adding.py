"""One more task for a trained model, and what that costs the tasks that it knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from polytask.balancing.methods.equal import Equal
from polytask.data.pieces import Frame, height_of, names_of, sample
from polytask.data.saved import AnySchema
from polytask.data.table import Table
from polytask.errors import ConfigError, TaskError
from polytask.nets.model import Model
from polytask.nets.sharing.hard import Hard
from polytask.nets.sharing.lora import LoRA
from polytask.nets.sharing.sharing import Sharing
from polytask.tasks.task import Task
from polytask.training.options import TrainingOptions
from polytask.training.parts import Part
from polytask.training.recipe import Recipe
from polytask.training.scores import Scores
from polytask.training.sources import encode_held_out, fit_targets, set_aside
from polytask.training.trainer import train_model

How = Literal["frozen", "lora", "full"]
"""What may change: the new head alone; also low-rank matrices of the new task; everything."""


@dataclass(frozen=True)
class Forgetting:
    """How the tasks that a model knew fare after it learned another one, by their main metric on the same rows.

    :param before, after: scores of the old tasks. Frozen trunks forget nothing.
    """

    before: Scores
    after: Scores

    def __str__(self) -> str:
        lines = [
            f"{name}: {old.main} {old.value:.4g} -> {self.after[name].value:.4g}"
            for name, old in self.before.tasks.items()
        ]
        return "\n".join(lines)


def with_task(part: Part, schema: AnySchema, task: Task, rows: Sides, recipe: Recipe, *, how: How) -> Part:
    """The part with one more task.

    :param schema: of the part. :param rows: labels of the new task, and for ``"full"`` maybe of old ones too.
    :param recipe: of the training; its way of sharing is that of the part.
    :raises polytask.errors.TaskError: a name that is taken, or a way of sharing whose tasks run through each other.
    :raises polytask.errors.ConfigError: low-rank matrices on a trunk that is not shared hard.
    """
    _check(part, task)
    sharing = _sharing(part.sharing, how, recipe)
    train, held = rows.divided(recipe.options)
    (target,) = fit_targets([task], {name: sample(frame) for name, frame in train.items()})
    labels = {name for frame in train.values() for name in names_of(frame)}
    old = tuple(t for t in part.targets if how == "full" and labels.issuperset(t.task.columns))
    table = Table.encode(train, schema, (*old, target))
    validation = None if held is None else encode_held_out(held, schema, (*old, target), "the validation table")
    state = part.model.task_state(part.tasks)
    trained = train_model(
        table,
        schema.spec,
        (*old, target),
        replace(recipe, sharing=sharing, balancer=recipe.balancer if old else Equal(), distillation=None, init_from=""),
        validation=validation,
        start=state,
        frozen=how != "full",
    ).model.task_state()
    own = tuple(f"{kind}.{task.name}." for kind in ("heads", "tasks"))
    changed = {key: value for key, value in trained.items() if how == "full" or key.startswith(own)}
    targets = (*part.targets, target)
    model = Model(schema.spec, targets, part.encoder, sharing)
    model.load_task_state(model.task_state() | state | changed)
    return Part(part.name, targets, part.encoder, sharing, model.eval())


@dataclass(frozen=True)
class Sides:
    """Tables to learn from, and maybe tables that choose the epoch."""

    train: Mapping[str, Frame]
    validation: Mapping[str, Frame] | None = None

    def divided(self, options: TrainingOptions) -> tuple[Mapping[str, Frame], Mapping[str, Frame] | None]:
        """Both; without validation tables a share of the training rows, drawn by the seed."""
        if self.validation is not None or not options.validation_fraction:
            return self.train, self.validation
        sizes = {name: height_of(frame) for name, frame in self.train.items()}
        kept, held = set_aside(sizes, options.validation_fraction, options.seed)
        return (
            {name: sample(frame, rows=kept[name]) for name, frame in self.train.items()},
            {name: sample(frame, rows=held[name]) for name, frame in self.train.items()},
        )


def _check(part: Part, task: Task) -> None:
    if task.name in part.tasks:
        raise TaskError(f"the model has a task {task.name!r} already.", do="Give the new task another name.")
    if part.sharing.coupled:
        raise TaskError(
            "the tasks of this way of sharing run through each other's networks; none can be added.",
            where=f"task {task.name!r}",
            do="Train again with all tasks, or choose 'hard' sharing.",
        )


def _sharing(sharing: Sharing, how: How, recipe: Recipe) -> Sharing:
    """The way of sharing of the larger model."""
    if how != "lora":
        return sharing
    if isinstance(sharing, LoRA):
        return sharing
    if not isinstance(sharing, Hard):
        raise ConfigError(
            f"low-rank matrices vary one trunk, and this model has another way of sharing ({type(sharing).__name__}).",
            where="how",
            do="Choose how='frozen' or how='full'.",
        )
    given = recipe.sharing
    return replace(given if isinstance(given, LoRA) else LoRA(), freeze=True)
