"""The English Web Treebank, and the names in a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from polytask.data.corpora import read_corpus
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.dependency_parsing import DependencyParsing
from polytask.tasks.lemmatisation import Lemmatisation
from polytask.tasks.morph_tagging import MorphTagging
from polytask.tasks.tagging import Tagging

PARTS = {"train": "train", "dev": "validation", "test": "test"}
COPIES = {
    "train": "4861d76b9c49cb3524dfdf7d02e78c1d6a4c4e6fb892f9e6128cc671a6f195a8",
    "dev": "24656b4a407808e7b9e42959b2e39e18ae5580bfbf3b27938d6873dabaed8845",
    "test": "0506bfdbccef68634d5429369e67a7d4418b2340bd2b2ddcfca8373514af83bc",
}
NAMES_COPY = "4757afc4cfd65d2dd24cb0297fff1b01ccffce5b4287a0922bf50b9e38396597"
TASKS = (Tagging("upos"), MorphTagging("feats"), Lemmatisation("lemma"), DependencyParsing("parse"))
COLUMNS = ("sent_id", "words", "upos", "feats", "lemma", "head", "deprel")


def read(files: Mapping[str, Path]) -> Dataset:
    """All sentences."""
    parts = [
        read_corpus(files[f"en_ewt-ud-{part}.conllu"], "conllu").select(COLUMNS).with_columns(split=pl.lit(split))
        for part, split in PARTS.items()
    ]
    return Dataset("ud_ewt", pl.concat(parts), TASKS, ("words",), ORIGIN, group="sent_id", split="split")


def read_names(files: Mapping[str, Path]) -> Dataset:
    """The sentences of the development part, with their names."""
    table = read_corpus(files["en_ewt-ud-dev.iob2"], "conll", words=1, tasks={"ner": 2})
    return Dataset("uner_ewt", table.select("words", "ner"), (Tagging("ner", scheme="IOB2"),), ("words",), NAMES)


ORIGIN = Origin(
    name="ud_ewt",
    title="English Web Treebank: parts of speech, morphology, lemmas, dependencies",
    source="https://github.com/UniversalDependencies/UD_English-EWT",
    licence="CC BY-SA 4.0",
    attribution="N. Silveira et al. A Gold Standard Dependency Corpus for English. LREC 2014; Universal Dependencies.",
    collection="Weblogs, newsgroups, e-mails, reviews and questions of English users of the web.",
    notes=("12,544 sentences to learn from, 2,001 to choose by, 2,077 to judge by.",),
)
NAMES = Origin(
    name="uner_ewt",
    title="Universal NER: persons, places and organisations in the development part of the English Web Treebank",
    source="https://github.com/UniversalNER/UNER_English-EWT",
    licence="CC BY-SA 4.0",
    attribution="S. Mayhew et al. Universal NER: A Gold-Standard Multilingual Named Entity Recognition Benchmark. "
    "NAACL 2024.",
    collection="The sentences of the English Web Treebank.",
    notes=("2,001 sentences, the development part alone: labels for some sentences of another corpus.",),
)

ENTRY = Remote(
    ORIGIN,
    tuple(
        File(
            f"en_ewt-ud-{part}.conllu",
            f"https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/master/en_ewt-ud-{part}.conllu",
            None,
            (Copy(f"ud_english_ewt/en_ewt-ud-{part}.conllu.gz", COPIES[part]),),
        )
        for part in PARTS
    ),
    read,
)
ENTRY_OF_NAMES = Remote(
    NAMES,
    (
        File(
            "en_ewt-ud-dev.iob2",
            "https://raw.githubusercontent.com/UniversalNER/UNER_English-EWT/master/en_ewt-ud-dev.iob2",
            None,
            (Copy("uner_english_ewt/en_ewt-ud-dev.iob2.gz", NAMES_COPY),),
        ),
    ),
    read_names,
)
