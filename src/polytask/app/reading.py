"""From YAML or plain values to a :class:`~polytask.app.config.Config`: every key known, every type checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polytask.app.config import DEFAULT_SPLIT, RECIPE, SECTIONS, TAKEN, VARIANTS, Config, DataSection
from polytask.app.yaml_file import overridden, read_yaml
from polytask.catalogue import make
from polytask.data.options import SchemaOptions
from polytask.data.splits import SPLITS
from polytask.errors import ConfigError, did_you_mean
from polytask.studies.options import CompareOptions
from polytask.tasks import TASKS
from polytask.tasks.task import Task
from polytask.training.distillation import Distillation
from polytask.training.options import TrainingOptions
from polytask.training.recipe import Recipe


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
    taught = raw.get("distillation")
    distillation = None if taught is None else _distillation(taught, f"{where}distillation")
    return Recipe(
        **parts, options=options, distillation=distillation, init_from=_text(raw.get("init_from") or "", "init_from")
    )


def _distillation(value: Any, where: str) -> Distillation:
    """``single``, or the options of the distillation."""
    plain = {"teachers": value} if isinstance(value, str) else _mapping(value, where)
    made: Distillation = make(Distillation, plain, where=where)
    return made


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
    merged = {key: _changed(key, base.get(key), changes.get(key)) for key in (*VARIANTS, "training")}
    adapting = {key: changes.get(key, base.get(key)) for key in ("distillation", "init_from")}
    return _recipe(merged | adapting, f"{where}.")


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
