"""A small table and a configuration for it, for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

ROWS = 120


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Polytask = Callable[..., Result]


def people(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    return pl.DataFrame(
        {
            "x": x,
            "z": z,
            "city": rng.choice(["Bern", "Basel", "Genf"], rows),
            "churn": np.where(x + 0.3 * rng.normal(size=rows) > 0, "yes", "no"),
            "spend": [None if i % 7 == 0 else v for i, v in enumerate(10 + 3 * x + z)],
            "grade": rng.choice(["a", "b", "c"], rows),
        }
    )


CONFIG = """\
title: People
data: {train: people.csv, exclude: [grade], split: {name: random, validation: 0, test: 0.25}}
tasks: {churn: binary, spend: regression}
encoder: {name: mlp, width: 8, depth: 1}
training: {epochs: 2, batch_size: 32, accelerator: cpu}
compare: {seeds: 1, matched: false}
"""


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}
