"""SNIPS: what a voice assistant is asked for, and with which particulars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from polytask.data.corpora import read_corpus
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.errors import DataError
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.tagging import Tagging

PARTS = {"train": "train", "valid": "validation", "test": "test"}
KINDS = ("seq.in", "seq.out", "label")
TASKS = (Multiclass("intent", metric="accuracy"), Tagging("slots", scheme="BIO"))
COPIES = {
    "train": "e46b3a67c975abbbdfa19334ca28aaad86d004f0f5e431a9f3f220cec47ce29c",
    "valid": "ccc3741354c6430cb3acc9859d29db3d29061bafa81a8e8a903aafa67a6a4076",
    "test": "cef7e38431cf21474b53f78ea65e3c5fe2e80ca0808bc155c21d17b9fc90170f",
}


def read(files: Mapping[str, Path]) -> Dataset:
    """All queries."""
    parts = [_part(files, part).with_columns(split=pl.lit(split)) for part, split in PARTS.items()]
    return Dataset("snips", pl.concat(parts), TASKS, ("words",), ORIGIN, split="split")


def _part(files: Mapping[str, Path], part: str) -> pl.DataFrame:
    first = files[f"{part}/{KINDS[0]}"]
    if ".jsonl" in first.name:  # the three files as one
        return read_corpus(first, "jsonl").select("words", "slots", "intent")
    words, slots, intents = (files[f"{part}/{kind}"].read_text("utf-8").splitlines() for kind in KINDS)
    if not len(words) == len(slots) == len(intents):
        raise DataError(f"expected as many lines in all three files, found {len(words)}.", where=str(first))
    return pl.DataFrame(
        {"words": [line.split() for line in words], "slots": [line.split() for line in slots], "intent": intents}
    )


ORIGIN = Origin(
    name="snips",
    title="SNIPS: seven intents of a voice assistant, and their slots",
    source="https://github.com/snipsco/nlu-benchmark, tokenised and split in "
    "https://github.com/MiuLab/SlotGated-SLU (data/snips)",
    licence="CC0 1.0 (queries); the repository of the split states none",
    attribution="A. Coucke et al. Snips Voice Platform: an embedded Spoken Language Understanding system for "
    "private-by-design voice interfaces. 2018; C.-W. Goo et al. Slot-Gated Modeling for Joint Slot Filling and Intent "
    "Prediction. NAACL 2018.",
    collection="Crowd workers wrote queries for seven intents.",
    notes=("13,084 queries to learn from, 700 to choose by, 700 to judge by; lower case.",),
)

ENTRY = Remote(
    ORIGIN,
    tuple(
        File(
            f"{part}/{kind}",
            f"https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/master/data/snips/{part}/{kind}",
            None,
            (Copy(f"snips_nlu/snips.{part}.jsonl.gz", COPIES[part]),),
        )
        for part in PARTS
        for kind in KINDS
    ),
    read,
)
