"""Parkinson's telemonitoring: two symptom scores from the voices of 42 patients."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import polars as pl

from polytask.datasets.arff import read_text
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.errors import DataError
from polytask.tasks.regression import Regression

RENAMED = {"subject#": "subject", "motor_UPDRS": "motor_updrs", "total_UPDRS": "total_updrs"}
TASKS = (Regression("motor_updrs"), Regression("total_updrs"))


def read(files: Mapping[str, Path]) -> Dataset:
    """All recordings."""
    path = files["parkinsons_updrs.data"]
    text = read_text(path).replace("\t", ",")
    frame = pl.read_csv(StringIO(text), infer_schema_length=None)
    if absent := [name for name in RENAMED if name not in frame.columns]:
        raise DataError(f"expected the columns {', '.join(absent)}; found {', '.join(frame.columns)}.", where=str(path))
    frame = frame.rename(RENAMED)
    features = tuple(c for c in frame.columns if c not in {"subject", "test_time", "motor_updrs", "total_updrs"})
    return Dataset("parkinsons", frame, TASKS, features, ORIGIN, group="subject", time="test_time")


ORIGIN = Origin(
    name="parkinsons",
    title="Parkinson's telemonitoring: motor and total UPDRS from voice measures",
    source="UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/189/parkinsons+telemonitoring",
    licence="CC BY 4.0 (UCI)",
    attribution="A. Tsanas, M. Little, P. McSharry, L. Ramig. Accurate telemonitoring of Parkinson's disease "
    "progression by non-invasive speech tests. IEEE Transactions on Biomedical Engineering 2010.",
    collection="United States: 42 people with early Parkinson's disease, recorded at home over six months.",
    notes=(
        "Split by `subject`, never at random: a patient has some 140 recordings.",
        "Labels are interpolated linearly in time between three visits to the clinic, so `test_time` is in the table "
        "and not among the features.",
    ),
)

ENTRY = Remote(
    ORIGIN,
    (
        File(
            "parkinsons_updrs.data",
            "https://archive.ics.uci.edu/ml/machine-learning-databases/parkinsons/telemonitoring/parkinsons_updrs.data",
            "f2c7d5025dec4e92e7feae367a5f7ccf58789a10ac6b54bdf15976c599f9dd39",
            (
                Copy(
                    "parkinsons_telemonitoring/parkinsons_updrs.tsv.gz",
                    "7497977e79ae4e0b70f29b1c39b75804a58212247d8de39019732b604a3fcf0d",
                ),
            ),
        ),
    ),
    read,
)
