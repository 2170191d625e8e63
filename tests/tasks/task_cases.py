"""Every kind of task with every loss, on labels with gaps: what the generic tests run over."""

from dataclasses import dataclass
from functools import cached_property
from typing import get_args, get_type_hints

import numpy as np
import polars as pl
import torch
from text_labels import treebank

from polytask.batch import Ragged
from polytask.tasks import (
    TASKS,
    Binary,
    Count,
    DependencyParsing,
    Generation,
    LanguageModelling,
    Lemmatisation,
    MorphTagging,
    Multiclass,
    Multilabel,
    Ordinal,
    PairClassification,
    Regression,
    SpanLabelling,
    Tagging,
    Task,
)

N = 48
CLASSIFIERS = ({}, {"label_smoothing": 0.2}, {"class_weights": "balanced"})


@dataclass(frozen=True)
class Case:
    task: Task
    frame: pl.DataFrame

    @cached_property
    def target(self):
        return self.task.fit(self.frame)

    @cached_property
    def known(self):
        """``(N,)`` bool: rows that have a label."""
        return np.column_stack([self.frame[column].is_not_null() for column in self.task.columns]).any(1)

    @property
    def encoded(self):
        return encoded(self.target, self.frame)

    @property
    def units(self):
        """The labels of all rows, words, or elements of lists: ``(U, W)``."""
        found = self.encoded
        return found.values if isinstance(found, Ragged) else found

    def guess(self, scale=1.0):
        """What a model that knows nothing answers for every row."""
        target, rng = self.target, np.random.default_rng(6)
        if target.unit == "row":
            return target.answer(noise(self.frame.height, target.outputs, scale))
        counts = torch.from_numpy(self.frame["words"].list.len().cast(pl.Int64).to_numpy().copy())
        words = int(counts.sum())
        codes = rng.integers(0, target.outputs, (words, 1))
        match target.head:
            case "linear":
                values = target.reduce(noise(words, target.outputs, scale))
            case "crf" | "decoder":
                values = torch.from_numpy(codes)
            case "biaffine":
                size = np.repeat(counts.numpy(), counts.numpy())[:, None]
                values = torch.from_numpy(np.concatenate([rng.integers(0, size + 1), codes], 1))
            case "spans":
                start = np.concatenate([np.arange(n) for n in counts.tolist()])[:, None]
                values = torch.from_numpy(np.concatenate([start, start + 1, np.maximum(codes, 1)], 1))
        return target.answer(Ragged(values.float(), counts))

    def __str__(self):
        kind = TASKS.name_of(self.task)
        options = {k: v for k, v in TASKS.config(self.task).items() if k not in ("kind", "name", "columns")}
        return "-".join([kind, *(f"{k}={v}" for k, v in options.items())])


def noise(rows, columns, scale=1.0, seed=0):
    return scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def encoded(target, frame):
    """Labels as the house keeps them: ``(N, W)``, or a list per row."""
    if target.unit != "word":
        return target.encode(frame)
    lists = frame[target.task.columns[0]]
    counts = torch.from_numpy(lists.list.len().cast(pl.Int64).fill_null(-1).to_numpy().copy())
    return Ragged(target.encode(frame.filter(lists.is_not_null())), counts)


def gaps(values, seed=0, share=0.2):
    """The values with some of them missing, as a list."""
    missing = np.random.default_rng(seed).random(len(values)) < share
    return [None if gone else value for value, gone in zip(np.asarray(values).tolist(), missing, strict=True)]


def shares(table):
    """Probabilities of three classes, all missing in some rows."""
    rows = gaps(table, 11)
    return {f"mood_p_{name}": [row and row[i] for row in rows] for i, name in enumerate(("bad", "fair", "good"))}


SHARES = ("mood_p_bad", "mood_p_fair", "mood_p_good")


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
            "sure": gaps(rng.random(N).round(3), 10),
            **shares(rng.dirichlet([0.5, 1.0, 2.0], N)),
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
    for options in ({}, {"label_smoothing": 0.2}, {"loss": "focal"}):
        found += [Binary("sure", soft=True, **options), Multiclass("mood", columns=SHARES, **options)]
    for loss in choices(Ordinal, "loss"):
        found += [Ordinal("grade", loss=loss), Ordinal("health", levels=("poor", "fair", "good", "great"), loss=loss)]
    for loss in choices(Regression, "loss"):
        found += [Regression("price", loss=loss, transform=t) for t in choices(Regression, "transform")]
        found.append(Regression("pair", columns=("size", "price"), loss=loss))
    found.append(Count("visits"))
    return [Case(task, frame) for task in found] + [Case(task, treebank(N)) for task in text_tasks()]


def text_tasks():
    return [
        Tagging("upos"),
        Tagging("upos", crf=True),
        Tagging("ner", scheme="BIO"),
        Tagging("ner", scheme="IOB2", crf=True),
        Tagging("bioes", scheme="BIOES"),
        MorphTagging("morphology"),
        Lemmatisation("lemma", min_count=1),
        DependencyParsing("syntax"),
        SpanLabelling("spans"),
        PairClassification("entails"),
        Generation("summary", vocabulary=280),
        LanguageModelling("hidden", min_count=1),
    ]


CASES = cases()


def objects(rows):
    found = list(rows)
    out = np.empty(len(found), dtype=object)
    for i, row in enumerate(found):
        out[i] = row
    return out


ECHOES = {
    Tagging: "tags",
    MorphTagging: "features",
    DependencyParsing: "trees",
    SpanLabelling: "spans",
    Generation: "texts",
    LanguageModelling: "words",
}
"""Kinds of tasks whose answers look as the truth does, and what those answers are called."""


def perfect_answer(target, truth):
    """What a model that knows the labels answers."""
    known = truth if truth.dtype == object else np.nan_to_num(truth)
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
        case Lemmatisation():
            return {"scripts": objects(row[:, 0] for row in truth)}
    if (key := ECHOES.get(type(target.task))) is not None:
        return {key: truth}
    raise AssertionError(f"say what a perfect answer of {target.task} is")
