"""Heart disease in four hospitals: one table and one task per hospital."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import polars as pl

from polytask.datasets.arff import read_text
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.binary import Binary

SITES = ("cleveland", "hungarian", "switzerland", "va")
FEATURES = (
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
)
TASKS = tuple(Binary(f"disease_{site}") for site in SITES)


def read_site(path: Path, site: str) -> pl.DataFrame:
    """One hospital, from its own file without a header or from a joint file with the column ``site``."""
    text = read_text(path)
    joint = text.startswith("site,")
    columns = [*(["site"] if joint else []), *FEATURES, "num"]
    frame = pl.read_csv(
        StringIO(text),
        has_header=joint,
        new_columns=None if joint else columns,
        null_values=["?", ""],
        schema_overrides={c: pl.Float64 for c in columns if c != "site"} if joint else [pl.Float64] * len(columns),
    )
    rows = frame.filter(pl.col("site") == site).drop("site") if joint else frame
    label = (pl.col("num") > 0).cast(pl.Int64).alias(f"disease_{site}")
    impossible = [pl.when(pl.col(c) > 0).then(pl.col(c)).alias(c) for c in ("chol", "trestbps")]
    return rows.with_columns(*impossible).select(pl.lit(site).alias("site"), *FEATURES, label)


def read(files: Mapping[str, Path]) -> Dataset:
    """Four tables, and all of them below each other with a label for one task per row."""
    sources = {site: read_site(files[f"processed.{site}.data"], site) for site in SITES}
    frame = pl.concat(sources.values(), how="diagonal")
    return Dataset("heart", frame, TASKS, FEATURES, ORIGIN, group="site", sources=sources)


ORIGIN = Origin(
    name="heart",
    title="Heart disease in four hospitals: one table and one task each",
    source="UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/45/heart+disease",
    licence="CC BY 4.0 (UCI)",
    attribution="A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano. Heart Disease. UCI Machine Learning "
    "Repository, 1989.",
    collection="Cleveland (US), Budapest (Hungary), Zurich and Basel (Switzerland), Long Beach (US), 1980s.",
    notes=(
        "A label is 1 when the source's `num` (0 to 4) is above 0; the Hungarian file knows 0 and 1 only.",
        "Hospitals differ in what they measured: `ca` is almost never known outside Cleveland, `thal` and `slope` "
        "often not. A cholesterol or blood pressure of 0 (cholesterol: all of Switzerland, a quarter of Long Beach) is "
        "taken as missing.",
        "The missing rate of a label is counted in its hospital's table.",
    ),
)

JOINT = Copy("heart_disease_4sites/heart4.csv.gz", "5abe75e16077106f5f5a068baaccff704327fadfbb9e169fe2a0ebf5cd6d402d")

ENTRY = Remote(
    ORIGIN,
    tuple(
        File(
            f"processed.{site}.data",
            f"https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/processed.{site}.data",
            None,
            (JOINT,),
        )
        for site in SITES
    ),
    read,
)
