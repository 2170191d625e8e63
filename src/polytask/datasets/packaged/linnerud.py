"""Linnerud: three body measures of twenty men from three exercises."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.tasks.regression import Regression

FEATURES = ("Chins", "Situps", "Jumps")
TASKS = tuple(Regression(name) for name in ("Weight", "Waist", "Pulse"))


def read(package: Path) -> Dataset:
    """All twenty men."""
    folder = package / "datasets" / "data"
    exercise, physiology = (
        pl.read_csv(folder / f"linnerud_{part}.csv", separator=" ").cast(pl.Float64)
        for part in ("exercise", "physiological")
    )
    return Dataset("linnerud", pl.concat([exercise, physiology], how="horizontal"), TASKS, FEATURES, ORIGIN)


ORIGIN = Origin(
    name="linnerud",
    title="Weight, waist and pulse of twenty men from three exercises",
    source="A. C. Linnerud, North Carolina State University; read from the PyPI package scikit-learn",
    licence="None stated for the data; the package that carries it is under BSD-3-Clause",
    attribution="M. Tenenhaus. La regression PLS: theorie et pratique. Technip 1998.",
    collection="Twenty middle-aged men in a fitness club.",
    notes=("Twenty rows: for trying things out. No verdict can come of it.",),
)

ENTRY = Packaged(ORIGIN, "sklearn", read)
