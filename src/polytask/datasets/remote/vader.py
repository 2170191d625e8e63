"""VADER: how people felt about short texts, rated by twenty of them each."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import File
from polytask.datasets.entry import Remote
from polytask.errors import DataError
from polytask.tasks.regression import Regression

KINDS = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
INSIDE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"


def read(files: Mapping[str, Path]) -> Dataset:
    """All four collections."""
    path = files[ARCHIVE]
    try:
        with tarfile.open(path) as outer, tarfile.open(fileobj=io.BytesIO(_bytes(outer, INSIDE))) as inner:
            parts = [_table(_bytes(inner, f"hutto_ICWSM_2014/{kind}_GroundTruth.txt"), kind) for kind in KINDS]
    except (tarfile.TarError, KeyError, OSError) as error:
        raise DataError(f"it does not hold the rated texts: {error}.", where=str(path)) from error
    return Dataset("vader", pl.concat(parts), (Regression("sentiment"),), ("text",), ORIGIN, group="collection")


def _bytes(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()


def _table(content: bytes, kind: str) -> pl.DataFrame:
    rows = [line.split("\t") for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    return pl.DataFrame(
        {
            "text": ["\t".join(row[2:]).strip() for row in rows],
            "sentiment": [float(row[1]) for row in rows],
            "collection": kind,
        }
    )


ORIGIN = Origin(
    name="vader",
    title="VADER: sentiment of tweets, reviews and editorials, as a mean of ratings from -4 to 4",
    source="https://github.com/cjhutto/vaderSentiment; the source archive of the package vaderSentiment 3.3.2",
    licence="MIT",
    attribution="C. J. Hutto, E. E. Gilbert. VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social "
    "Media Text. ICWSM 2014.",
    collection="Crowd workers rated each text from -4 (extremely negative) to 4.",
    notes=("4,200 tweets, 3,708 snippets of product reviews, 10,605 of film reviews, 5,190 of editorials.",),
)

ENTRY = Remote(
    ORIGIN,
    (
        File(
            ARCHIVE,
            "https://files.pythonhosted.org/packages/source/v/vaderSentiment/vaderSentiment-3.3.2.tar.gz",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        ),
    ),
    read,
)
