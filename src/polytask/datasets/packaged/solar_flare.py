"""Solar flares: how many of three classes an active region gives in 24 hours."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.tasks.count import Count

TASKS = tuple(Count(f"{letter}-class-flares") for letter in "cmx")


def read(package: Path) -> Dataset:
    """All active regions."""
    with zipfile.ZipFile(package / "datasets" / "solar-flare.csv.zip") as archive:
        frame = pl.read_csv(archive.read(archive.namelist()[0]), infer_schema_length=None)
    features = tuple(frame.columns[: -len(TASKS)])
    return Dataset("solar_flare", frame, TASKS, features, ORIGIN)


ORIGIN = Origin(
    name="solar_flare",
    title="Solar flares of three classes in 24 hours: three counts",
    source="UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/89/solar+flare; "
    "read from the PyPI package river",
    licence="CC BY 4.0 (UCI)",
    attribution="G. Bradshaw (donor). Solar Flare. UCI Machine Learning Repository, 1989.",
    collection="Active regions of the sun; the larger and more reliable of the source's two sections.",
    notes=("Flares are rare: most counts are 0, nearly all of the X class.",),
)

ENTRY = Packaged(ORIGIN, "river", read)
