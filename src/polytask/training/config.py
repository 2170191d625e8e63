"""The resolved configuration of a learner as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polytask.balancing.contract import Method
from polytask.catalogue import changed_fields, make
from polytask.data.options import SchemaOptions
from polytask.data.sampling import SAMPLERS
from polytask.data.sampling.sampler import Sampler
from polytask.errors import ConfigError, did_you_mean
from polytask.nets.encoders import ENCODERS
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing import SHARING
from polytask.nets.sharing.sharing import Sharing
from polytask.tasks import TASKS
from polytask.tasks.parents import check_parents
from polytask.tasks.task import Task
from polytask.training.balancers import BALANCERS
from polytask.training.distillation import Distillation
from polytask.training.options import TrainingOptions
from polytask.training.recipe import Recipe

Spec = str | Mapping[str, Any]
"""A name, or a mapping ``{"name": ..., field: value}``."""


@dataclass(frozen=True)
class LearnerConfig:
    """Everything that a learner is told before it sees data."""

    tasks: tuple[Task, ...]
    recipe: Recipe
    schema: SchemaOptions
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        tasks: Sequence[Task | Mapping[str, Any]],
        *,
        encoder: Encoder | Spec = "mlp",
        sharing: Sharing | Spec = "hard",
        balancer: Method | Spec = "equal",
        sampler: Sampler | Spec = "proportional",
        training: TrainingOptions | Mapping[str, Any] | None = None,
        schema: SchemaOptions | Mapping[str, Any] | None = None,
        features: Sequence[str] = (),
        exclude: Sequence[str] = (),
        distillation: Distillation | Mapping[str, Any] | None = None,
        init_from: str = "",
        seed: int | None = None,
        trusted: bool = True,
    ) -> LearnerConfig:
        """Names, mappings and instances as instances.

        :raises ConfigError: a wrong key, type or value, with the path to it.
        """
        if (
            not isinstance(tasks, Sequence)
            or isinstance(tasks, str)
            or not all(isinstance(task, Task | Mapping) for task in tasks)
        ):
            raise ConfigError(f"expected a list of tasks, found {tasks!r}.", where="tasks")
        built = tuple(TASKS.build(task, where=f"tasks[{i}]", trusted=trusted) for i, task in enumerate(tasks))
        _check_tasks(built)
        chosen, left_out = _names(features, "features"), _names(exclude, "exclude")
        _check_features(chosen, built)
        options = _options(TrainingOptions, training, "training")
        recipe = Recipe(
            ENCODERS.build(encoder, where="encoder", trusted=trusted),
            SHARING.build(sharing, where="sharing", trusted=trusted),
            BALANCERS.build(balancer, where="balancer", trusted=trusted),
            SAMPLERS.build(sampler, where="sampler", trusted=trusted),
            options if seed is None else replace(options, seed=seed),
            None if distillation is None else _options(Distillation, distillation, "distillation"),
            str(init_from),
        )
        return cls(built, recipe, _options(SchemaOptions, schema, "schema"), chosen, left_out)

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any], *, trusted: bool = True) -> LearnerConfig:
        """The configuration behind :meth:`to_json`."""
        known = {"tasks", "encoder", "sharing", "balancer", "sampler", "training", "schema", "features", "exclude"}
        known |= {"distillation", "init_from"}
        for key in mapping:
            if key not in known:
                raise ConfigError(f"unknown key {key!r}.", do=did_you_mean(str(key), known))
        if "tasks" not in mapping:
            raise ConfigError("the key 'tasks' is missing.")
        return cls.build(trusted=trusted, **mapping)

    def to_json(self) -> dict[str, Any]:
        """Plain values; defaults are left out."""
        recipe = self.recipe
        taught = {} if recipe.distillation is None else {"distillation": changed_fields(recipe.distillation)}
        started = {"init_from": recipe.init_from} if recipe.init_from else {}
        return {
            "tasks": [TASKS.config(task) for task in self.tasks],
            "encoder": ENCODERS.config(self.recipe.encoder),
            "sharing": SHARING.config(self.recipe.sharing),
            "balancer": BALANCERS.config(self.recipe.balancer),
            "sampler": SAMPLERS.config(self.recipe.sampler),
            "training": {"seed": self.recipe.options.seed} | changed_fields(self.recipe.options),
            "schema": changed_fields(self.schema),
            "features": list(self.features),
            "exclude": list(self.exclude),
            **taught,
            **started,
        }


def options_of(given: TrainingOptions | Mapping[str, Any]) -> TrainingOptions:
    """Training options from a mapping of some of them.

    :raises ConfigError: an unknown key or a wrong value.
    """
    made: TrainingOptions = _options(TrainingOptions, given, "training")
    return made


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Column names; one word is no list of its letters."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"expected a list of columns, found {value!r}.", where=where)
    return tuple(value)


def _options(cls: type[Any], value: Any, where: str) -> Any:
    if value is None:
        return cls()
    if not isinstance(value, cls | Mapping):
        raise ConfigError(f"expected {cls.__name__} or a mapping of its fields, found {value!r}.", where=where)
    return value if isinstance(value, cls) else make(cls, value, where=where)


def _check_features(features: Sequence[str], tasks: Sequence[Task]) -> None:
    for task in tasks:
        for column in task.columns:
            if column in features:
                raise ConfigError(
                    f"the feature {column!r} is what task {task.name!r} predicts.",
                    where="features",
                    do="Leave it out of the features, or leave the task out.",
                )


def _check_tasks(tasks: tuple[Task, ...]) -> None:
    if not tasks:
        raise ConfigError("expected at least one task, found none.", where="tasks")
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tasks are called {name!r}.", where="tasks", do="Give each task its own name.")
    check_parents(tasks)
    if all(task.role == "auxiliary" for task in tasks):
        raise ConfigError("every task is auxiliary.", where="tasks", do="Leave at least one task primary.")
