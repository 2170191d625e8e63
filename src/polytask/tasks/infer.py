"""A first guess of what a column is, for people who start from a table."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from polytask.errors import TaskError
from polytask.tasks.binary import Binary
from polytask.tasks.count import Count
from polytask.tasks.labels import Label, distinct, numbers
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.ordinal import Ordinal
from polytask.tasks.regression import Regression
from polytask.tasks.schemes import guessed
from polytask.tasks.tagging import Tagging
from polytask.tasks.task import Task

_FEW = 10  # as many integer values may still be levels or codes
_CLASSES = 1000  # more texts than this are names, not classes
_MEAN_COUNT = 20.0  # integers from 0 with a larger mean behave like measurements


@dataclass(frozen=True)
class Inference:
    """A guess, and why."""

    task: Task
    reason: str


def infer_task(series: pl.Series, name: str) -> Inference:
    """Guess the kind of a target column from its labels.

    Lists of texts: tagging, in BIO, IOB1 or BIOES where the labels look so. Two different labels: binary. An Enum:
    ordinal. Text: multiclass. Up to 10 integers: ordinal if they are consecutive, else multiclass (codes). More
    integers: a count if they start at 0 with a mean of at most 20, else regression. Other numbers: regression.

    :raises TaskError: constant, all missing, text that is different in most rows, or a type without labels.
    """
    columns = (series.name,)
    if isinstance(series.dtype, pl.List) and isinstance(series.dtype.inner, (pl.String, pl.Categorical, pl.Enum)):
        tags = set(series.explode().drop_nulls().cast(pl.String).unique().to_list())
        scheme = guessed(tags)
        spans = "labels of words" if scheme == "none" else f"tags of spans of words, in {scheme}"
        return Inference(Tagging(name, columns=columns, scheme=scheme), f"{len(tags)} different {spans}")
    if series.dtype.is_float() and series.drop_nans().n_unique() > _FEW:
        numbers(series, name)  # the checks
        known = series.drop_nulls().drop_nans()
        if not (known == known.round()).all():
            return Inference(Regression(name, columns=columns), "numbers with fractions")
    classes, _ = distinct(series, name)
    n, rows = len(classes), series.len() - series.null_count()
    if n == 2:
        return Inference(Binary(name, columns=columns), f"two labels: {classes[0]!r} and {classes[1]!r}")
    if isinstance(series.dtype, pl.Enum):
        return Inference(Ordinal(name, columns=columns), f"{n} ordered categories")
    if isinstance(classes[0], str):
        if n > _CLASSES or (n > _FEW and n > rows / 2):
            raise TaskError(
                f"{n} different texts in {rows} rows are names rather than classes.",
                where=f"task {name!r}, column {series.name!r}",
                do="Choose another target, or group the texts into classes.",
            )
        return Inference(Multiclass(name, columns=columns), f"{n} different texts")
    return _numbers(name, columns, classes, series)


def _numbers(name: str, columns: tuple[str, ...], classes: tuple[Label, ...], series: pl.Series) -> Inference:
    n, low, high = len(classes), float(classes[0]), float(classes[-1])
    if not all(isinstance(label, int) for label in classes):
        return Inference(Regression(name, columns=columns), "numbers with fractions")
    if n <= _FEW and high - low == n - 1:
        return Inference(Ordinal(name, columns=columns), f"{n} consecutive integers from {low:g} to {high:g}")
    if n <= _FEW:
        return Inference(Multiclass(name, columns=columns), f"{n} integers with gaps look like codes")
    mean = float(numbers(series.drop_nulls().drop_nans(), name).mean())
    if low == 0 and mean <= _MEAN_COUNT:
        return Inference(Count(name, columns=columns), f"integers from 0 to {high:g} with mean {mean:.3g}")
    return Inference(Regression(name, columns=columns), f"{n} different integers from {low:g} to {high:g}")
