"""The columns of a corpus under the names that tasks know."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import polars as pl

from polytask.errors import ConfigError, DataError, did_you_mean

Column: TypeAlias = str | int
Labels: TypeAlias = Mapping[str, Column | Sequence[Column]]
"""Task -> the column of the file that holds its label, or several."""
TEXTS = ("words", "text", "sent_id", "doc")
"""Columns of the text itself, which are kept whatever is labelled."""


def chosen(
    frame: pl.DataFrame,
    tasks: Labels | None,
    columns: Mapping[str, Sequence[str]] | None,
    annotations: Collection[str],
) -> pl.DataFrame:
    """The text, and the labels of the tasks that the corpus is to teach.

    :param tasks: task -> its columns in the file; None: all columns stay as they are.
    :param columns: the target columns of every declared task; default: the task's name, or the columns as in the file
        where there are several.
    :param annotations: columns of labels, which go unless a task asks for them.
    :raises ConfigError: a task that was never declared. :raises DataError: a column that is not there.
    """
    if tasks is None:
        return frame
    labels: dict[str, pl.Series] = {}
    for task, given in tasks.items():
        if columns is not None and task not in columns:
            raise ConfigError(
                f"the source labels the task {task!r}, which was never declared.",
                where=f"tasks.{task}",
                do=did_you_mean(task, columns),
            )
        found = [_found(frame, str(one), task) for one in ([given] if isinstance(given, str | int) else given)]
        names = tuple(columns[task]) if columns is not None else ((task,) if len(found) == 1 else tuple(found))
        if len(names) != len(found):
            raise ConfigError(
                f"expected {len(names)} columns ({', '.join(names)}), found {len(found)}: {', '.join(found)}.",
                where=f"tasks.{task}",
            )
        labels |= {name: frame[column].alias(name) for name, column in zip(names, found, strict=True)}
    others = {c for task, own in (columns or {}).items() if task not in tasks for c in own}
    gone = (set(annotations) | others) - set(TEXTS)
    return frame.drop(gone, strict=False).with_columns(*labels.values())


def _found(frame: pl.DataFrame, name: str, task: str) -> str:
    numbered = [c for c in frame.columns if c.isdigit()]
    if name.startswith("-") and name[1:].isdigit() and 0 < int(name[1:]) <= len(numbered):
        return numbered[-int(name[1:])]
    if name not in frame.columns:
        raise DataError(
            f"there is no column {name!r}, or nothing is in it.",
            where=f"tasks.{task}",
            do=did_you_mean(name, set(frame.columns) - {"sent_id", "text", "doc"}),
        )
    return name
