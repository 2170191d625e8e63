"""CoNLL-U: treebanks of Universal Dependencies, ten columns for every word."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import polars as pl

from polytask.data.corpora.lines import Lines, Sentences, parted, sentences_of
from polytask.data.corpora.trees import no_tree
from polytask.data.text.words import flattened
from polytask.errors import DataError
from polytask.tokens.ragged import Ints

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
LABELS = ("lemma", "upos", "xpos", "feats", "head", "deprel")
"""What a word can be labelled with."""
PLUS = "# global.columns = "


def read_conllu(path: Path) -> pl.DataFrame:
    """A treebank as one row per sentence: lists ``words``, ``lemma``, ``upos``, ``xpos``, ``feats``, ``head`` (whole
    numbers, 0 for the root), ``deprel``; ``sent_id``, ``text`` and ``doc`` where comments say them.

    Multiword tokens and empty nodes are left out: labels belong to syntactic words. A value that is not given (``_``)
    is null, and so is the list of a sentence in which none is given; features are ``_`` where a word has none. A column
    that is given nowhere is left out. A sentence whose heads make no tree keeps its words and other labels, its
    ``head`` and ``deprel`` are null; a warning says how many there are.

    :raises DataError: a line that is none of CoNLL-U, with its number.
    """
    lines = parted(path, "CoNLL-U", pl.col("line").str.starts_with("#"))
    _refuse_other_columns(lines)
    table = lines.text.str.split_exact("\t", len(COLUMNS) - 1).struct.rename_fields(list(COLUMNS)).struct.unnest()
    word = table["id"].str.contains(r"^\d+$")
    strange = (~word & ~table["id"].str.contains(r"^\d+[-.]\d+$")).arg_true()
    if len(strange):
        row = int(strange[0])
        raise DataError(
            f"expected the number of a word, found {table['id'][row]!r}.", where=lines.where(row),
            do="The first column counts the words of a sentence: 1, 2, 3, ...",
        )  # fmt: skip
    table, lines = table.filter(word), lines.only(word)
    sentences = sentences_of(lines)
    _check_numbers(table["id"], sentences)
    table = table.with_columns(
        [pl.when(pl.col(c) != "_").then(pl.col(c)).alias(c) for c in ("upos", "xpos", "head", "deprel")]
        + [pl.when((pl.col("lemma") != "_") | (pl.col("form") == "_")).then(pl.col("lemma")).alias("lemma")]
    )
    bare = bool((table["feats"] == "_").all())
    heads = _heads(table["head"], sentences)
    columns = {"words": sentences.lists(table["form"])} | {
        name: sentences.lists(heads if name == "head" else table[name])
        for name in LABELS
        if table[name].null_count() < len(table) and not (name == "feats" and bare)
    }
    frame = pl.DataFrame({name: _given(series) for name, series in columns.items()})
    return _with_trees(frame, sentences).with_columns(**sentences.notes())


def _refuse_other_columns(lines: Lines) -> None:
    tabs = lines.text.str.count_matches("\t", literal=True)
    wrong = (tabs != len(COLUMNS) - 1).arg_true()
    if not len(wrong):
        return
    row = int(wrong[0])
    found, line = int(tabs[row]) + 1, lines.text[row]
    blanks = found == 1 and len(line.split()) > 1
    raise DataError(
        f"expected {len(COLUMNS)} columns with tabs between them, found "
        + ("blanks instead of tabs" if blanks else f"{found}")
        + f": {line[:60]!r}.",
        where=lines.where(row),
        do="Put one tab between columns; an editor may have turned them into blanks." if blanks
        else "Give every word all ten columns, '_' where there is nothing to say. For fewer columns: format: conll.",
    )  # fmt: skip


def _check_numbers(ids: pl.Series, sentences: Sentences) -> None:
    numbers = ids.cast(pl.Int64).to_numpy()
    expected = np.arange(len(numbers)) - np.repeat(sentences.begin, sentences.counts) + 1
    wrong = np.flatnonzero(numbers != expected)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"expected word {expected[row]}, found word {numbers[row]}.",
            where=sentences.lines.where(row),
            do="Words are counted from 1; a blank line between two sentences may be missing."
            if numbers[row] == 1
            else "Words are counted from 1, without gaps.",
        )


def _heads(heads: pl.Series, sentences: Sentences) -> pl.Series:
    """Heads as whole numbers; -1 where a word has another value."""
    numbers = heads.cast(pl.Int64, strict=False)
    return numbers.set(numbers.is_null() & heads.is_not_null(), -1)


def _given(series: pl.Series) -> pl.Series:
    """Lists without a single value are missing."""
    flat, counts = flattened(series)
    owner = np.repeat(np.arange(len(counts)), counts)
    found = np.bincount(owner[flat.is_not_null().to_numpy()], minlength=len(counts)) > 0
    return pl.select(pl.when(pl.Series(found)).then(series)).to_series()


def _with_trees(frame: pl.DataFrame, sentences: Sentences) -> pl.DataFrame:
    """Heads and relations of sentences whose heads make no tree are missing."""
    if "head" not in frame.columns:
        return frame
    asked = frame["head"].is_not_null().to_numpy()
    flat = flattened(frame["head"])[0].fill_null(-1).to_numpy()
    bad: Ints = np.flatnonzero(asked)[no_tree(flat, sentences.counts[asked])]
    if not len(bad):
        return frame
    first, line = int(bad[0]), sentences.lines.where(int(sentences.begin[bad[0]]))
    name = sentences.notes().get("sent_id", pl.Series([None] * len(sentences.counts)))[first]
    warnings.warn(
        f"{len(bad)} {'sentence has' if len(bad) == 1 else 'sentences have'} heads that make no tree (a cycle, or a "
        f"head that is no word of the sentence); their head and deprel count as missing. The first begins at {line}"
        + (f" (sent_id {name})." if name else "."),
        stacklevel=3,
    )
    kept = np.ones(frame.height, bool)
    kept[bad] = False
    return frame.with_columns(
        pl.when(pl.Series(kept)).then(pl.col(c)).alias(c) for c in ("head", "deprel") if c in frame.columns
    )
