"""YAML -> objects: the only place where the words of a configuration file become objects.

A configuration is a mapping with the keys of :data:`SECTIONS`. What names a variant (``encoder``, ``balancer``, a
task's ``kind``, ...) goes through its catalogue, the rest through the dataclass of its options; both check names and
types, and answer with the path to the wrong key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polytask.app.yaml_file import overridden, read_yaml
from polytask.balancing.methods import METHODS
from polytask.catalogue import Catalogue, changed_fields, make
from polytask.data.options import SchemaOptions
from polytask.data.sampling import SAMPLERS
from polytask.data.splits import SPLITS
from polytask.data.splits.split import Split
from polytask.errors import ConfigError, did_you_mean
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.studies.contenders import BOOSTING, EQUAL, MATCHED, MULTI, SINGLE
from polytask.studies.options import CompareOptions
from polytask.tasks import TASKS
from polytask.tasks.task import Task
from polytask.training.config import LearnerConfig
from polytask.training.options import TrainingOptions
from polytask.training.trainer import Recipe

Files = str | dict[str, str]
"""A table, or one table per source: ``{source: file}``."""


@dataclass(frozen=True)
class DataSection:
    """Where the rows come from, and which columns are features.

    :param dataset: name of a set that Polytask knows (``polytask list datasets``), instead of files.
    :param train: the table, or one table per task or group of tasks, ``{source: file}``. CSV, TSV, Parquet or Arrow.
    :param validation: rows that choose the checkpoint; default: the validation part of ``split``, or a share of the
        training rows (``training.validation_fraction``), drawn by each seed.
    :param test: rows that judge and do nothing else; default: the test part of ``split``.
    :param features: the only columns to learn from; default: every column that is no target.
    :param exclude: columns to leave out: identifiers, and what would not be known at prediction.
    """

    dataset: str | None = None
    train: Files | None = None
    validation: Files | None = None
    test: Files | None = None
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.train is None):
            found = "neither" if self.train is None else "both"
            raise ConfigError(
                f"expected either 'train' (a table) or 'dataset' (a name), found {found}.",
                where="data",
                do="For example: data: {train: table.csv}.",
            )
        if self.dataset is not None and (self.validation is not None or self.test is not None):
            raise ConfigError("a data set brings its own rows: 'validation' and 'test' need 'train'.", where="data")

    def rooted(self, base: Path) -> DataSection:
        """The same with absolute paths; relative ones start from ``base``."""

        def absolute(files: Files | None) -> Files | None:
            if isinstance(files, dict):
                return {name: str((base / file).absolute()) for name, file in files.items()}
            return None if files is None else str((base / files).absolute())

        paths = {name: absolute(getattr(self, name)) for name in ("train", "validation", "test")}
        return dataclasses.replace(self, **paths)  # type: ignore[arg-type]  # paths for paths


@dataclass(frozen=True)
class Config:
    """One configuration, checked.

    :param data: where the rows come from.
    :param split: how they are split when there is no test table; None: as the data set says, or at random.
    :param tasks: what to predict; a text names a task of the data set. Empty: all tasks of the data set.
    :param recipe: encoder, sharing, balancer, sampler and training options.
    :param schema: how columns become numbers.
    :param compare: seeds and contenders of a comparison.
    :param contenders: name -> recipe of a further multi-task model of a comparison.
    :param title: heading of reports.
    """

    data: DataSection
    tasks: tuple[Task | str, ...]
    recipe: Recipe
    split: Split | None = None
    schema: SchemaOptions = field(default_factory=SchemaOptions)
    compare: CompareOptions = field(default_factory=CompareOptions)
    contenders: Mapping[str, Recipe] = field(default_factory=dict)
    title: str = ""

    def learner(self, tasks: tuple[Task, ...], features: tuple[str, ...], exclude: tuple[str, ...]) -> LearnerConfig:
        """The configuration of the requested model."""
        return _learner(self.recipe, tasks, self.schema, features, exclude)

    def others(self, tasks: tuple[Task, ...]) -> dict[str, LearnerConfig]:
        """The configurations of the other contenders."""
        return {name: _learner(recipe, tasks, self.schema, (), ()) for name, recipe in self.contenders.items()}

    def to_mapping(self) -> dict[str, Any]:
        """Plain values: ``resolve(config.to_mapping()) == config``."""
        data = changed_fields(self.data)
        if self.split is not None:
            data["split"] = SPLITS.config(self.split)
        plain = {
            "title": self.title,
            "data": data,
            "tasks": [task if isinstance(task, str) else TASKS.config(task) for task in self.tasks],
            **_recipe_mapping(self.recipe),
            "schema": changed_fields(self.schema),
            "compare": changed_fields(self.compare)
            | {"contenders": {name: _changes(self.recipe, recipe) for name, recipe in self.contenders.items()}},
        }
        return {key: value for key, value in plain.items() if value not in ("", [], {}, {"contenders": {}})}


VARIANTS: dict[str, tuple[Catalogue[Any], str]] = {
    "encoder": (ENCODERS, "mlp"),
    "sharing": (SHARING, "hard"),
    "balancer": (METHODS, "equal"),
    "sampler": (SAMPLERS, "proportional"),
}
"""The keys that name a variant: its catalogue and the default."""

DEFAULT_SPLIT = "random"

SECTIONS = ("title", "data", "tasks", *VARIANTS, "training", "seed", "schema", "compare")
"""The keys of a configuration."""

RECIPE = (*VARIANTS, "training")
"""The keys that a contender may change."""

TAKEN = (SINGLE, MATCHED, EQUAL, MULTI, BOOSTING)
"""Contenders that a comparison names itself."""


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The configuration in a YAML file; relative paths in it start from the file's folder.

    :param overrides: ``key=value`` of ``--set``, applied to the file's values.
    :raises ConfigError: not readable, no YAML, an unknown key or a wrong value, with the path to the key.
    """
    path = Path(path)
    raw = read_yaml(path)
    for override in overrides:
        raw = overridden(raw, override)
    try:
        return resolve(raw, base=path.parent)
    except ConfigError as error:
        raise error.at(str(path)) from None


def resolve(raw: Mapping[str, Any], *, base: Path | None = None) -> Config:
    """The configuration behind a mapping of plain values.

    :param base: folder that relative paths start from.
    :raises ConfigError: an unknown key or a wrong value, with the path to the key.
    """
    known_keys(raw, SECTIONS, "")
    section = _mapping(raw.get("data"), "data")
    split = section.pop("split", None)
    data = make(DataSection, section, where="data")
    comparison = _mapping(raw.get("compare"), "compare")
    contenders = _mapping(comparison.pop("contenders", None), "compare.contenders")
    seed = raw.get("seed")
    own = {key: raw[key] for key in RECIPE if raw.get(key) is not None}
    if seed is not None:
        own["training"] = _mapping(own.get("training"), "training") | {"seed": seed}
    return Config(
        data=data.rooted(base) if base is not None else data,
        split=None if split is None else SPLITS.build(_whole(split, DEFAULT_SPLIT), where="data.split"),
        tasks=_tasks(raw.get("tasks"), data.dataset),
        recipe=_recipe(own, ""),
        schema=make(SchemaOptions, _mapping(raw.get("schema"), "schema"), where="schema"),
        compare=make(CompareOptions, comparison, where="compare"),
        contenders={name: _contender(own, name, changes) for name, changes in contenders.items()},
        title=_text(raw.get("title") or "", "title"),
    )


def known_keys(raw: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuses keys that mean nothing.

    :raises ConfigError: with the nearest known key.
    """
    for key in raw:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}.", where=where or None, do=did_you_mean(str(key), known))


def _recipe(raw: Mapping[str, Any], where: str) -> Recipe:
    parts = {
        key: catalogue.build(_whole(raw.get(key), default), where=where + key)
        for key, (catalogue, default) in VARIANTS.items()
    }
    options = make(TrainingOptions, _mapping(raw.get("training"), f"{where}training"), where=f"{where}training")
    return Recipe(**parts, options=options)


def _contender(base: Mapping[str, Any], name: str, changes: Any) -> Recipe:
    """The recipe of the configuration with some keys changed; a mapping without a name changes single fields."""
    where = f"compare.contenders.{name}"
    if name in TAKEN:
        raise ConfigError(f"the name {name!r} is taken.", where=where, do="Choose another one.")
    changes = _mapping(changes, where)
    known_keys(changes, RECIPE, where)
    for key in ("seed", "validation_fraction"):
        if key in _mapping(changes.get("training"), f"{where}.training"):
            raise ConfigError(
                f"all contenders share {key!r}.", where=f"{where}.training", do="Set it in the section 'training'."
            )
    return _recipe({key: _changed(key, base.get(key), changes.get(key)) for key in RECIPE}, f"{where}.")


def _whole(value: Any, default: str) -> Any:
    """A variant with its name: fields alone are those of the default, a name alone has no fields."""
    if value is None or isinstance(value, str):
        return {"name": value or default}
    return {"name": default, **value} if isinstance(value, Mapping) else value


def _changed(key: str, base: Any, change: Any) -> Any:
    whole = _whole(base, VARIANTS[key][1]) if key in VARIANTS else base or {}
    if change is None:
        return whole
    alone = not isinstance(change, Mapping) or "name" in change or not isinstance(whole, Mapping)
    return change if alone else {**whole, **change}


def _recipe_mapping(recipe: Recipe) -> dict[str, Any]:
    options = changed_fields(recipe.options)
    return _variants(recipe) | ({"training": options} if options else {})


def _changes(base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """What turns the one into the other."""
    own = dataclasses.asdict(base.options)
    options = {key: value for key, value in dataclasses.asdict(recipe.options).items() if value != own[key]}
    return _variants(recipe) | ({"training": options} if options else {})


def _variants(recipe: Recipe) -> dict[str, Any]:
    parts = {"encoder": recipe.encoder, "sharing": recipe.sharing}
    parts |= {"balancer": recipe.balancer, "sampler": recipe.sampler}
    return {key: VARIANTS[key][0].config(part) for key, part in parts.items()}


def _learner(
    recipe: Recipe,
    tasks: tuple[Task, ...],
    schema: SchemaOptions,
    features: tuple[str, ...],
    exclude: tuple[str, ...],
) -> LearnerConfig:
    return LearnerConfig.build(
        tasks,
        encoder=recipe.encoder,
        sharing=recipe.sharing,
        balancer=recipe.balancer,
        sampler=recipe.sampler,
        training=recipe.options,
        schema=schema,
        features=features,
        exclude=exclude,
    )


def _tasks(value: Any, dataset: str | None) -> tuple[Task | str, ...]:
    if isinstance(value, Mapping):
        entries = [_named(name, entry) for name, entry in value.items()]
    elif isinstance(value, list):
        entries = value
    elif value is None:
        entries = []
    else:
        raise ConfigError(f"expected a list of tasks, or name: kind, found {value!r:.60}.", where="tasks")
    tasks = tuple(_task(i, entry, dataset) for i, entry in enumerate(entries))
    names = [task if isinstance(task, str) else task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tasks are called {name!r}.", where="tasks", do="Give each task its own name.")
    if not tasks and dataset is None:
        raise ConfigError(
            "expected at least one task, found none.", where="tasks", do="For example: tasks: {churn: binary}."
        )
    return tasks


def _named(name: str, entry: Any) -> dict[str, Any]:
    """``name: kind`` or ``name: {kind: ..., ...}`` as an entry of a list."""
    plain = {"kind": entry} if isinstance(entry, str) else _mapping(entry, f"tasks.{name}")
    if "name" in plain:
        raise ConfigError("the name is given twice.", where=f"tasks.{name}", do="Remove the key 'name'.")
    return {"name": name, **plain}


def _task(i: int, entry: Any, dataset: str | None) -> Task | str:
    if isinstance(entry, str):
        if dataset is None:
            raise ConfigError(
                f"expected name and kind, found {entry!r}.", where=f"tasks[{i}]", do=f"For example: {entry}: binary."
            )
        return entry
    plain = _mapping(entry, f"tasks[{i}]")
    name = plain.get("name")
    return TASKS.build(plain, where=f"tasks.{name}" if isinstance(name, str) else f"tasks[{i}]")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected a mapping (key: value), found {value!r:.60}.", where=where)
    return dict(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"expected text, found {value!r:.60}.", where=where)
    return value
