"""Adult: income and marital status from the 1994 US census, the two-task set of the MMoE protocol in small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import polars as pl

from polytask.datasets.arff import read_text
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.binary import Binary

COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)
LEFT_OUT = frozenset({"fnlwgt", "education", "marital_status", "relationship", "income"})
FEATURES = tuple(column for column in COLUMNS if column not in LEFT_OUT)
TASKS = (Binary("income_over_50k"), Binary("never_married"))

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"


def read_part(path: Path) -> pl.DataFrame:
    """One file: with or without a header line, blanks after commas, and full stops after labels."""
    lines = (re.sub(r"\s*,\s*", ",", line.strip()).rstrip(".") for line in read_text(path).splitlines())
    body = [line for line in lines if line and not line.startswith(("|", "age,"))]
    return pl.read_csv(
        StringIO("\n".join(body)),
        has_header=False,
        new_columns=list(COLUMNS),
        null_values="?",
        infer_schema_length=None,
    )


def read(files: Mapping[str, Path]) -> Dataset:
    """Both parts, with the two labels."""
    parts = {"train": "adult.data", "test": "adult.test"}
    frame = pl.concat(
        read_part(files[name]).with_columns(pl.lit(part).alias("split")) for part, name in parts.items()
    ).with_columns(
        (pl.col("income") == ">50K").cast(pl.Int64).alias("income_over_50k"),
        (pl.col("marital_status") == "Never-married").cast(pl.Int64).alias("never_married"),
    )
    kept = frame.select("split", *FEATURES, *(task.name for task in TASKS))
    return Dataset("adult", kept, TASKS, FEATURES, ORIGIN, split="split")


ORIGIN = Origin(
    name="adult",
    title="Adult (US census 1994): income above 50,000 dollars, never married",
    source="UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/2/adult",
    licence="CC BY 4.0 (UCI)",
    attribution="B. Becker, R. Kohavi. Adult. UCI Machine Learning Repository, 1996.",
    collection="United States, 1994: extract of the Current Population Survey. It holds race, sex and origin: "
    "a benchmark, not a model of who should earn what.",
    notes=(
        "The source of a label is no feature: income and marital status are left out, and so is the relationship in "
        "the household, which names husbands and wives.",
        "Left out besides: `fnlwgt`, a sampling weight; `education`, whose ordered code `education_num` is kept.",
        "The split is the official one. The tasks follow the protocol of J. Ma et al. (MMoE, KDD 2018), who used the "
        "larger census-income set: their figures are not comparable.",
    ),
)

ENTRY = Remote(
    ORIGIN,
    (
        File(
            "adult.data",
            URL + "adult.data",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
            (Copy("adult_census/adult.csv.gz", "67ee830c8f2b9cda6891c2186a616052a7284258281b749eb5afea3f14a08a1f"),),
        ),
        File(
            "adult.test",
            URL + "adult.test",
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
            (
                Copy(
                    "adult_census/adult.test.csv.gz",
                    "399bbd94c6ec97b74bf84cc2f9bed62883b3fe9cc4df7b2d1def6f88c128e724",
                ),
            ),
        ),
    ),
    read,
)
