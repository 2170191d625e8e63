"""Yeast: 14 functional classes of 2,417 genes, the classic multi-label set as 14 binary tasks."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.tasks.binary import Binary

FEATURES = tuple(f"Att{i}" for i in range(1, 104))
TASKS = tuple(Binary(f"Class{i}") for i in range(1, 15))


def read(package: Path) -> Dataset:
    """All genes."""
    frame = pl.read_csv(package / "datasets" / "yeast.csv.gz", infer_schema_length=None)
    return Dataset("yeast", frame, TASKS, FEATURES, ORIGIN)


ORIGIN = Origin(
    name="yeast",
    title="Functional classes of yeast genes: 14 binary tasks",
    source="A. Elisseeff and J. Weston, NIPS 2001, as distributed by Mulan, https://mulan.sourceforge.net; "
    "read from the PyPI package river",
    licence="None stated for the data; the package that carries it is under BSD-3-Clause",
    attribution="A. Elisseeff, J. Weston. A kernel method for multi-labelled classification. NIPS 2001.",
    collection="Micro-array expression levels and phylogenetic profiles of genes of Saccharomyces cerevisiae.",
    notes=("Every gene has all 14 labels. `Class14` is rare (34 genes).",),
)

ENTRY = Packaged(ORIGIN, "river", read)
