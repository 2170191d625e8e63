"""Every kind of task with every loss, on labels with gaps: what the generic tests run over."""

from dataclasses import dataclass
from functools import cached_property
from typing import get_args, get_type_hints

import numpy as np
import polars as pl

from polytask.tasks import TASKS, Binary, Count, Multiclass, Multilabel, Ordinal, Regression, Task

N = 48
CLASSIFIERS = ({}, {"label_smoothing": 0.2}, {"class_weights": "balanced"})


@dataclass(frozen=True)
class Case:
    task: Task
    frame: pl.DataFrame

    @cached_property
    def target(self):
        return self.task.fit(self.frame)

    def __str__(self):
        kind = TASKS.name_of(self.task)
        options = {k: v for k, v in TASKS.config(self.task).items() if k not in ("kind", "name", "columns")}
        return "-".join([kind, *(f"{k}={v}" for k, v in options.items())])


def gaps(values, seed=0, share=0.2):
    """The values with some of them missing, as a list."""
    missing = np.random.default_rng(seed).random(len(values)) < share
    return [None if gone else value for value, gone in zip(np.asarray(values).tolist(), missing, strict=True)]


def labels():
    rng = np.random.default_rng(3)
    skewed = np.exp(rng.normal(1, 0.8, N))
    return pl.DataFrame(
        {
            "yes": gaps(np.where(rng.random(N) < 0.3, "yes", "no"), 1),
            "flag": gaps(rng.random(N) < 0.7, 2),
            "code": gaps(rng.integers(1, 3, N), 3),
            "colour": gaps(rng.choice(["red", "green", "blue"], N, p=[0.6, 0.3, 0.1]), 4),
            "health": gaps(rng.choice(["poor", "fair", "good", "great"], N, p=[0.1, 0.2, 0.4, 0.3]), 5),
            "grade": gaps(rng.integers(1, 6, N), 6),
            "size": gaps(1e3 + 50 * rng.normal(size=N), 7),
            "price": gaps(skewed, 8),
            "visits": gaps(rng.poisson(2.5, N), 9),
        }
    )


def choices(cls, field):
    return get_args(get_type_hints(cls)[field])


def cases():
    frame = labels()
    found = []
    for loss in choices(Binary, "loss"):
        found += [Binary("yes", loss=loss, **options) for options in CLASSIFIERS]
        found += [Multiclass("colour", loss=loss, **options) for options in CLASSIFIERS]
        found += [Multilabel("many", columns=("yes", "flag", "code"), loss=loss, **options) for options in CLASSIFIERS]
    found += [Binary("yes", class_weights=(1.0, 3.0)), Multiclass("colour", top_k=2)]
    for loss in choices(Ordinal, "loss"):
        found += [Ordinal("grade", loss=loss), Ordinal("health", levels=("poor", "fair", "good", "great"), loss=loss)]
    for loss in choices(Regression, "loss"):
        found += [Regression("price", loss=loss, transform=t) for t in choices(Regression, "transform")]
        found.append(Regression("pair", columns=("size", "price"), loss=loss))
    found.append(Count("visits"))
    return [Case(task, frame) for task in found]


CASES = cases()


def perfect_answer(target, truth):
    """What a model that knows the labels answers."""
    known = np.nan_to_num(truth)
    match target.task:
        case Binary():
            return {"probability": known[:, 0]}
        case Multilabel():
            return {"probabilities": known}
        case Multiclass():
            return {"probabilities": np.eye(target.outputs)[known[:, 0].astype(int)]}
        case Ordinal():
            levels = known[:, 0].astype(int)
            return {"probabilities": np.eye(len(target.levels))[levels], "level": known[:, 0]}
        case Regression():
            return {"value": known, "low": known, "high": known}
        case Count():
            return {"rate": known[:, 0]}
    raise AssertionError(f"say what a perfect answer of {target.task} is")
