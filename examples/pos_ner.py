"""One reader of English for five tasks, whose labels come from three corpora.

Parts of speech, morphology, lemmas and dependencies from the English Web Treebank; names from Universal NER, which
labels the treebank's development sentences only, and from the noisy messages of WNUT 2017, whose persons, places and
organisations are the types that both corpora know. Nobody has labels for all five. Is one model as good as five?

    python examples/pos_ner.py                                 the small encoder, three seeds
    python examples/pos_ner.py --encoder hf:minilm --seeds 1   a pretrained one
    python examples/pos_ner.py --sentences 2000 --epochs 6     a first look

Data come from their official sources, or from the folder that POLYTASK_DATA names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import polars as pl

import polytask
from polytask.datasets import fetch
from polytask.record.compare import CompareRecord
from polytask.report.terminal import print_comparison

TYPES = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}
"""Types of WNUT 2017 that Universal NER knows too; creative works and products are no names to it."""

PRETRAINED = {"lr": 1e-3, "trunk_lr": 0.2, "warmup": 0.1, "schedule": "cosine", "precision": "bf16-mixed"}
TASKS = [
    {"kind": "tagging", "name": "upos"},
    {"kind": "morph_tagging", "name": "feats"},
    {"kind": "lemmatisation", "name": "lemma"},
    {"kind": "dependency_parsing", "name": "parse"},
    {"kind": "tagging", "name": "ner", "scheme": "BIO"},
]


Sides = tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame], dict[str, pl.DataFrame]]
"""Corpora by name: to learn from, to choose by, to judge by."""


def main() -> CompareRecord:
    return run(__doc__ or "", TASKS, sides)


def run(about: str, tasks: list[dict[str, Any]], sides: Callable[[int | None], Sides]) -> CompareRecord:
    """One model of these tasks against a model for each, as the command line says."""
    parser = argparse.ArgumentParser(description=about.split("\n", maxsplit=1)[0])
    parser.add_argument("--encoder", default="words")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--sentences", type=int, default=None, help="of each part of each corpus; default all")
    parser.add_argument("--run", default=None, help="folder for the record and its report")
    options = parser.parse_args()
    train, validation, test = sides(options.sentences)
    learner = polytask.Learner(tasks, encoder=options.encoder, training=budget(options.encoder, options.epochs))
    record = polytask.compare(
        learner, train, validation=validation, test=test, seeds=options.seeds, run=options.run, overwrite=True
    )
    print_comparison(record)
    return record


def budget(encoder: str, epochs: int) -> dict[str, Any]:
    """Batches of tokens; a pretrained trunk learns more slowly than the heads, and in bfloat16."""
    own = PRETRAINED if encoder.startswith("hf") else {"lr": 3e-3, "schedule": "cosine"}
    return {"epochs": epochs, "batch_tokens": 2048, "batch_size": 128, "patience": 3, "select_by": "metric", **own}


def sides(sentences: int | None) -> Sides:
    """Three corpora to learn from, to choose by and to judge by."""
    ewt, names, wnut = fetch("ud_ewt"), fetch("uner_ewt").table, fetch("wnut17")
    columns = ["words", "upos", "feats", "lemma", "head", "deprel"]
    train = {"ewt": ewt.train.select(columns), "names": names[:1500], "wnut": common(wnut.train)}
    assert ewt.validation is not None
    assert wnut.validation is not None
    held = {
        "ewt": ewt.validation.select(columns).head(1000),
        "names": names[1500:1700],
        "wnut": common(wnut.validation),
    }
    judge = {"ewt": ewt.test.select(columns), "names": names[1700:], "wnut": common(wnut.test)}
    train, held, judge = ({name: table[:sentences] for name, table in side.items()} for side in (train, held, judge))
    return train, held, judge


def common(table: pl.DataFrame) -> pl.DataFrame:
    """Labels in the types that both corpora know."""

    def renamed(tags: list[str]) -> list[str]:
        return [f"{tag[:2]}{TYPES[tag[2:]]}" if tag[2:] in TYPES else "O" for tag in tags]

    return pl.DataFrame({"words": table["words"], "ner": [renamed(tags) for tags in table["ner"].to_list()]})


if __name__ == "__main__":
    main()
