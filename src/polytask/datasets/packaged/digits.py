"""Digits: one picture, three related questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.tasks.binary import Binary
from polytask.tasks.multiclass import Multiclass

FEATURES = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
TASKS = (Multiclass("digit"), Binary("odd"), Binary("five_or_more"))


def read(package: Path) -> Dataset:
    """All digits."""
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    digit = pl.col("digit")
    frame = (
        pl.DataFrame(table, schema=[*FEATURES, "digit"])
        .with_columns(digit.cast(pl.Int64))
        .with_columns((digit % 2).alias("odd"), (digit >= 5).cast(pl.Int64).alias("five_or_more"))
    )
    return Dataset("digits", frame, TASKS, FEATURES, ORIGIN)


ORIGIN = Origin(
    name="digits",
    title="Handwritten digits of 8 x 8 pixels: which one, odd or even, five or more",
    source="UCI Machine Learning Repository, test part of https://archive.ics.uci.edu/dataset/80; "
    "read from the PyPI package scikit-learn",
    licence="CC BY 4.0 (UCI)",
    attribution="E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning "
    "Repository, 1998.",
    collection="Forms filled in by 13 people, none of them among the writers of the source's training part.",
    notes=(
        "`odd` and `five_or_more` follow from `digit`: related tasks made by us to try sharing out, not three "
        "measurements. Writers are not recorded, so no split by writer is possible.",
    ),
)

ENTRY = Packaged(ORIGIN, "sklearn", read)
