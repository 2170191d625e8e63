"""Real corpora, where the environment variable POLYTASK_DATA names a folder that has them."""

import gzip
import os
from functools import cache
from pathlib import Path

import polars as pl
import pytest


def corpus(*path):
    """A file below the folder of data, or a polite skip."""
    folder = os.environ.get("POLYTASK_DATA")
    file = Path(folder or "", *path)
    if not folder or not file.exists():
        pytest.skip("POLYTASK_DATA names no folder with this corpus")
    return file


def blocks(file):
    """The lines of every sentence, split at tabs."""
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8").replace("\r\n", "\n")
    sentence = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            if not line.startswith("# ") or "\t" in line:
                sentence.append(line.split("\t"))
        elif sentence:
            yield sentence
            sentence = []


def columns(file, **places):
    """Columns of a CoNLL file as lists per sentence; comments, ranges and empty nodes of CoNLL-U are left out."""
    is_conllu = ".conllu" in file.name
    rows = [
        [line for line in block if not is_conllu or (len(line) == 10 and line[0].isdigit())] for block in blocks(file)
    ]
    return pl.DataFrame({name: [[line[place] for line in row] for row in rows] for name, place in places.items()})


@cache
def treebank(part):
    """The English Web Treebank."""
    file = corpus("ud_english_ewt", f"en_ewt-ud-{part}.conllu.gz")
    frame = columns(file, words=1, lemma=2, upos=3, feats=5, head=6, deprel=7)
    return frame.with_columns(pl.col("head").cast(pl.List(pl.Int64)))
