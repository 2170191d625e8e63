"""From a configuration to tables and learners: files are named, data sets are loaded, columns are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from polytask.app.config import Config
from polytask.data.division import split
from polytask.data.pieces import Frame
from polytask.data.splits.group import Group
from polytask.data.splits.random import Random
from polytask.data.splits.split import Split
from polytask.data.splits.time import Time
from polytask.datasets import find
from polytask.datasets.dataset import Dataset
from polytask.datasets.entry import Packaged, Remote
from polytask.errors import ConfigError, UnknownNameError, did_you_mean
from polytask.tasks.task import Task
from polytask.training.config import LearnerConfig
from polytask.training.sources import read_sources


@dataclass(frozen=True)
class Opened:
    """What the configuration speaks about.

    :param learner: of the requested model. :param others: of further contenders, by name.
    :param train: a path, a frame, or a dict of these by source; likewise ``validation`` and ``test``, or None.
    :param split: how ``train`` is split when there is no ``test``.
    :param about: the data set or files, for people.
    """

    learner: LearnerConfig
    others: dict[str, LearnerConfig]
    train: Any
    validation: Any
    test: Any
    split: Split | None
    about: str


def open_rows(config: Config) -> Opened:
    """Find the tables and decide tasks and features.

    :raises polytask.errors.UserError: a data set that is not there, or a task that it does not have.
    """
    if config.data.dataset is not None:
        return from_dataset(config, _load(config.data.dataset))
    data, tasks = config.data.spread(), tuple(task for task in config.tasks if isinstance(task, Task))
    exclude = _without_split_column(config.split, data.features, data.exclude)
    how = config.split if config.split is None or data.validation is None else replace(config.split, validation=0.0)
    learner = config.learner(tasks, data.features, exclude)
    about = data.train if isinstance(data.train, str) else ", ".join(map(_named, (data.train or {}).values()))
    return Opened(learner, config.others(tasks), data.train, data.validation, data.test, how, about)


def from_dataset(config: Config, data: Dataset) -> Opened:
    """The rows of a data set: its official split, else the one that the configuration or the data ask for."""
    tasks = _tasks(config, data)
    how, train, validation, test = config.split, data.frame, None, None
    if how is None and data.split is not None:
        train, validation, test = data.train, data.validation, data.test
    elif how is None:
        how = _natural_split(data)
    features = config.data.features or data.features
    learner = config.learner(tasks, features, config.data.exclude)
    tables = dict(data.sources) if data.sources and test is None else train
    return Opened(learner, config.others(tasks), tables, validation, test, how, f"data set {data.name!r}")


def _named(file: str | dict[str, Any]) -> str:
    return file if isinstance(file, str) else str(file["path"])


def _load(name: str) -> Dataset:
    try:
        entry = find(name)
    except UnknownNameError as error:
        raise error.at("data.dataset") from None
    match entry:
        case Packaged():
            return entry.load()
        case Remote():
            return entry.fetch(None)
    raise ConfigError(f"{name!r} cannot be read.", where="data.dataset")


def _tasks(config: Config, data: Dataset) -> tuple[Task, ...]:
    own = {task.name: task for task in data.tasks}
    chosen: list[Task] = []
    for task in config.tasks:
        if isinstance(task, Task):
            chosen.append(task)
        elif task in own:
            chosen.append(own[task])
        else:
            raise ConfigError(
                f"the data set {data.name!r} has no task {task!r}.", where="tasks", do=did_you_mean(task, own)
            )
    return tuple(chosen) or data.tasks


def _natural_split(data: Dataset) -> Split | None:
    """The split that the data ask for: whole groups, or the future. Tables of their own are split one by one."""
    if data.sources:
        return None
    if data.group is not None:
        return Group(column=data.group, validation=0.0)
    return Time(column=data.time, validation=0.0) if data.time is not None else None


def _without_split_column(split: Split | None, features: tuple[str, ...], exclude: tuple[str, ...]) -> tuple[str, ...]:
    """A column that the rows are split by is no feature, unless it is named as one."""
    own = (split.column,) if isinstance(split, Group | Time) else ()
    return (*exclude, *(column for column in own if column and column not in (*features, *exclude)))


@dataclass(frozen=True)
class Sides:
    """The tables of one training: each a path, a frame, or a dict of these by source; None where there is none."""

    train: Any
    validation: Any
    test: Any


def divide(opened: Opened, seed: int) -> Sides:
    """The rows that train, that choose the checkpoint, and that judge.

    :raises polytask.errors.DataError: a table that cannot be used, or a split that cannot be made.
    """
    how = opened.split or Random(validation=0.0)
    if opened.test is not None or how.test + how.validation == 0:
        return Sides(opened.train, opened.validation, opened.test)
    frames = {
        name: collected(frame)
        for name, frame in read_sources(
            opened.train, text=opened.learner.schema.categorical, tasks=opened.learner.tasks
        ).items()
    }
    parts = {name: split(frame, how, seed) for name, frame in frames.items()}

    def side(part: str) -> dict[str, pl.DataFrame] | None:
        return {name: frame[parts[name][part]] for name, frame in frames.items() if len(parts[name][part])} or None

    return Sides(
        side("train"), opened.validation if opened.validation is not None else side("validation"), side("test")
    )


def collected(frame: Frame) -> pl.DataFrame:
    """A table in memory."""
    return frame.collect() if isinstance(frame, pl.LazyFrame) else frame
