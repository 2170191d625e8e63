"""WNUT 2017: names that nobody has seen before, in noisy text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from polytask.data.corpora import read_corpus
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.tagging import Tagging

PARTS = {"wnut17train.conll": "train", "emerging.dev.conll": "validation", "emerging.test.annotated": "test"}
COPIES = {
    "wnut17train.conll": "e41db9d5f4ab35f08445fc088224671b9eb2ea6f8328179aad537cc74c994652",
    "emerging.dev.conll": "b08c789bbd4916ca207a4add8571b11fbfda2837caa05ac8c5ed3da63ea1506e",
    "emerging.test.annotated": "4216f0072c0d23e3e20f001db8002ac2e67e5b08d651d038407f4d1d54982723",
}


def read(files: Mapping[str, Path]) -> Dataset:
    """All messages."""
    parts = [
        read_corpus(files[name], "conll", tasks={"ner": 1}).select("words", "ner").with_columns(split=pl.lit(split))
        for name, split in PARTS.items()
    ]
    return Dataset("wnut17", pl.concat(parts), (Tagging("ner", scheme="BIO"),), ("words",), ORIGIN, split="split")


ORIGIN = Origin(
    name="wnut17",
    title="WNUT 2017: emerging and rare entities of six types in noisy text",
    source="https://github.com/leondz/emerging_entities_17",
    licence="CC BY 4.0",
    attribution="L. Derczynski, E. Nichols, M. van Erp, N. Limsopatham. Results of the WNUT2017 Shared Task on Novel "
    "and Emerging Entity Recognition. 2017.",
    collection="Tweets to learn from; comments on YouTube, StackExchange and Reddit to choose and to judge by.",
    notes=("3,394 messages to learn from, 1,009 to choose by, 1,287 to judge by.",),
)

ENTRY = Remote(
    ORIGIN,
    tuple(
        File(
            name,
            f"https://raw.githubusercontent.com/leondz/emerging_entities_17/master/{name}",
            None,
            (Copy(f"wnut17/{name}.gz", digest),),
        )
        for name, digest in COPIES.items()
    ),
    read,
)
