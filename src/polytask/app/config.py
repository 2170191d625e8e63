"""What a configuration says, as objects; :mod:`polytask.app.reading` makes them from YAML.

The keys are those of :data:`SECTIONS`. What names a variant (``encoder``, ``balancer``, a task's ``kind``, ...) comes
from its catalogue, the rest is the dataclass of its options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polytask.catalogue import Catalogue, changed_fields
from polytask.data.options import SchemaOptions
from polytask.data.sampling import SAMPLERS
from polytask.data.splits import SPLITS
from polytask.data.splits.split import Split
from polytask.errors import ConfigError
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.studies.contenders import BOOSTING, EQUAL, MATCHED, MULTI, SAME, SINGLE
from polytask.studies.options import CompareOptions
from polytask.tasks import TASKS
from polytask.tasks.task import Task
from polytask.training.balancers import BALANCERS
from polytask.training.config import LearnerConfig
from polytask.training.recipe import Recipe

Files = str | dict[str, str | dict[str, Any]]
"""A table, or one table per source: ``{source: file}``; a corpus is ``{path: file, format: ..., tasks: ...}``."""

SIDES = {"train": "path", "validation": "validation", "test": "test"}
"""The parts of the data, and the keys of a corpus that name their files."""


@dataclass(frozen=True)
class DataSection:
    """Where the rows come from, and which columns are features.

    :param dataset: name of a set that Polytask knows (``polytask list datasets``), instead of files.
    :param train: the table, or one table per task or group of tasks, ``{source: file}``. CSV, TSV, Parquet or Arrow.
    :param validation: rows that choose the checkpoint; default: the validation part of ``split``, or a share of the
        training rows (``training.validation_fraction``), drawn by each seed.
    :param test: rows that judge and do nothing else; default: the test part of ``split``.
    :param sources: corpora by name, each with its files and the tasks that it labels: ``{ewt: {path: train.conllu,
        validation: dev.conllu, test: test.conllu, format: conllu, tasks: {pos: upos}}}``. In place of ``train``,
        ``validation`` and ``test``.
    :param features: the only columns to learn from; default: every column that is no target.
    :param exclude: columns to leave out: identifiers, and what would not be known at prediction.
    """

    dataset: str | None = None
    train: Files | None = None
    validation: Files | None = None
    test: Files | None = None
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, corpus in self.sources.items():
            if not isinstance(corpus.get("path"), str):
                raise ConfigError(
                    "the key 'path' is missing: the file to learn from.",
                    where=f"data.sources.{name}",
                    do="For example: {path: train.conllu, test: test.conllu, tasks: {pos: upos}}.",
                )
        given = [key for key in ("train", "dataset", "sources") if getattr(self, key)]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ConfigError(
                f"expected either 'train' (a table), 'sources' (corpora) or 'dataset' (a name), found {found}.",
                where="data",
                do="For example: data: {train: table.csv}.",
            )
        if self.train is None and (self.validation is not None or self.test is not None):
            what = "a data set brings its own rows" if self.dataset is not None else "corpora name their own files"
            raise ConfigError(f"{what}: 'validation' and 'test' need 'train'.", where="data")

    def rooted(self, base: Path) -> DataSection:
        """The same with absolute paths; relative ones start from ``base``."""

        def absolute(files: Files | None) -> Files | None:
            if isinstance(files, dict):
                return {name: _absolute(base, file, ("path",)) for name, file in files.items()}
            return None if files is None else str((base / files).absolute())

        paths = {name: absolute(getattr(self, name)) for name in SIDES}
        sources = {name: _absolute(base, corpus, tuple(SIDES.values())) for name, corpus in self.sources.items()}
        return dataclasses.replace(self, sources=sources, **paths)  # type: ignore[arg-type]  # paths for paths

    def spread(self) -> DataSection:
        """The same with corpora as tables to train on, to choose by and to judge by."""
        if not self.sources:
            return self
        sides: dict[str, Any] = {side: {} for side in SIDES}
        for name, corpus in self.sources.items():
            rest = {key: value for key, value in corpus.items() if key not in SIDES.values()}
            for side, key in SIDES.items():
                if corpus.get(key) is not None:
                    sides[side][name] = {"path": corpus[key], **rest}
        return DataSection(train=sides["train"], validation=sides["validation"] or None, test=sides["test"] or None)


def _absolute(base: Path, file: Any, keys: tuple[str, ...]) -> Any:
    """A path, or the paths at some keys of a corpus, from a folder on."""
    if isinstance(file, str):
        return str((base / file).absolute())
    return {k: str((base / v).absolute()) if k in keys and isinstance(v, str) else v for k, v in file.items()}


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
    "balancer": (BALANCERS, "equal"),
    "sampler": (SAMPLERS, "proportional"),
}
"""The keys that name a variant: its catalogue and the default."""

DEFAULT_SPLIT = "random"

SECTIONS = ("title", "data", "tasks", *VARIANTS, "training", "distillation", "init_from", "seed", "schema", "compare")
"""The keys of a configuration."""

RECIPE = (*VARIANTS, "training", "distillation", "init_from")
"""The keys that a contender may change."""

TAKEN = (SINGLE, SAME, MATCHED, EQUAL, MULTI, BOOSTING)
"""Contenders that a comparison names itself."""


def _recipe_mapping(recipe: Recipe) -> dict[str, Any]:
    options = changed_fields(recipe.options)
    return _variants(recipe) | ({"training": options} if options else {}) | _adapting(recipe)


def _adapting(recipe: Recipe) -> dict[str, Any]:
    """Teachers, and the model to start from."""
    taught = {} if recipe.distillation is None else {"distillation": changed_fields(recipe.distillation)}
    return taught | ({"init_from": recipe.init_from} if recipe.init_from else {})


def _changes(base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """What turns the one into the other."""
    own = dataclasses.asdict(base.options)
    options = {key: value for key, value in dataclasses.asdict(recipe.options).items() if value != own[key]}
    return _variants(recipe) | ({"training": options} if options else {}) | _adapting(recipe)


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
        distillation=recipe.distillation,
        init_from=recipe.init_from,
        schema=schema,
        features=features,
        exclude=exclude,
    )
