"""Schemes that write spans as one tag per word: reading, writing and repairing them, and which tags may meet.

A tag is a prefix and a type: ``B-PER``. BIO (also called IOB2) begins every span with B. IOB1 begins a span with B only
behind another of its type. BIOES begins with B and ends with E, and S is a span of one word.

Ramshaw and Marcus, Text chunking using transformation-based learning, WVLC 1995. Tjong Kim Sang and Veenstra,
Representing text chunks, EACL 1999. Ratinov and Roth, Design challenges and misconceptions in named entity recognition,
CoNLL 2009.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scheme: TypeAlias = Literal["none", "BIO", "IOB1", "IOB2", "BIOES"]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PREFIXES = "OBIES"
OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)


class Spans(NamedTuple):
    """Spans of words, each ``(K,)``: the first word, the word behind the last one, and the type."""

    start: Ints
    end: Ints
    kind: Ints


def parsed(tag: str) -> tuple[int, str] | None:
    """Prefix and type of a tag; None where it is none.

    >>> parsed("B-PER"), parsed("O"), parsed("I-geo-loc"), parsed("NN")
    ((1, 'PER'), (0, ''), (2, 'geo-loc'), None)
    """
    if tag == "O":
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if prefix not in ("B", "I", "E", "S") or (dash and not kind):
        return None
    return PREFIXES.index(prefix), kind


def written(prefix: int, kind: str) -> str:
    """The tag of a prefix and a type."""
    letter = PREFIXES[prefix]
    return f"{letter}-{kind}" if kind and prefix != OUTSIDE else letter


def read_spans(prefix: Ints, kind: Ints, first: Bools, *, strict: bool = False) -> Spans:
    """The spans in tags of M words.

    Read as conlleval does (Tjong Kim Sang and Buchholz, Introduction to the CoNLL-2000 shared task, 2000): a span goes
    on while types are the same, unless B or S begins one, or E or S ended one; so any tags mean something.
    Strictly, only ``B I* E`` of one type and ``S`` are spans, as in seqeval's mode "strict".

    :param prefix: ``(M,)`` places in :data:`PREFIXES`. :param kind: ``(M,)`` types; those of O are not read.
    :param first: ``(M,)`` bool: whether a word is the first of its sentence.
    """
    inside = prefix != OUTSIDE
    before = np.concatenate([[OUTSIDE], prefix[:-1]]) if len(prefix) else prefix
    same = np.zeros(len(prefix), dtype=np.bool_)
    same[1:] = kind[1:] == kind[:-1]
    joins = inside & (before != OUTSIDE) & ~first & same
    if strict:
        joins &= np.isin(before, (BEGIN, INSIDE)) & np.isin(prefix, (INSIDE, END))
    else:
        joins &= ~np.isin(before, (END, SINGLE)) & ~np.isin(prefix, (BEGIN, SINGLE))
    start = np.flatnonzero(inside & ~joins)
    goes_on = np.concatenate([joins[1:], [False]]) if len(joins) else joins
    end = np.flatnonzero(inside & ~goes_on) + 1
    if strict:
        opened, closed = prefix[start], prefix[end - 1]
        whole = ((opened == BEGIN) & (closed == END)) | (opened == SINGLE)
        start, end = start[whole], end[whole]
    return Spans(start, end, kind[start])


def write_spans(spans: Spans, words: int, scheme: str, first: Bools) -> Ints:
    """Prefixes ``(M,)`` of tags that mean these spans in a scheme; types are those of the spans' words."""
    prefix = np.full(words, OUTSIDE, dtype=np.int64)
    lengths = spans.end - spans.start
    covered = np.repeat(spans.start - (lengths.cumsum() - lengths), lengths) + np.arange(lengths.sum())
    prefix[covered] = INSIDE
    if scheme == "IOB1":  # B only where the span before touches and has the same type
        touches = np.zeros(len(lengths), dtype=np.bool_)
        touches[1:] = (spans.start[1:] == spans.end[:-1]) & (spans.kind[1:] == spans.kind[:-1])
        prefix[spans.start[touches & ~first[spans.start]]] = BEGIN
        return prefix
    prefix[spans.start] = BEGIN
    if scheme == "BIOES":
        prefix[spans.end - 1] = END
        prefix[spans.start[lengths == 1]] = SINGLE
    return prefix


def legal_steps(prefix: Ints, kind: Ints, scheme: str) -> tuple[Bools, Bools, Bools]:
    """Which tags may follow which ``(K, K)``, come first ``(K,)`` and come last ``(K,)``.

    :param prefix: ``(K,)`` of every tag. :param kind: ``(K,)`` its type.
    """
    everything = np.ones(len(prefix), dtype=np.bool_)
    if scheme == "none":
        return np.ones((len(prefix), len(prefix)), dtype=np.bool_), everything, everything
    before, after = prefix[:, None], prefix[None, :]
    same = (kind[:, None] == kind[None, :]) & (before != OUTSIDE) & (after != OUTSIDE)
    if scheme == "IOB1":  # B begins a span that touches one of its type; I may begin or go on
        return (after != BEGIN) | (same & (before != OUTSIDE)), prefix != BEGIN, everything
    if scheme == "BIOES":
        open_before, goes_on = np.isin(before, (BEGIN, INSIDE)), np.isin(after, (INSIDE, END))
        return (
            np.where(open_before, goes_on & same, ~goes_on),
            ~np.isin(prefix, (INSIDE, END)),
            ~np.isin(prefix, (BEGIN, INSIDE)),
        )
    return (after != INSIDE) | (same & np.isin(before, (BEGIN, INSIDE))), prefix != INSIDE, everything


def guessed(tags: set[str]) -> Scheme:
    """The scheme that a set of tags looks like; "none" where they are no spans.

    >>> guessed({"O", "B-PER", "I-PER"}), guessed({"O", "I-PER"}), guessed({"S-PER", "O"}), guessed({"NN", "VB"})
    ('BIO', 'IOB1', 'BIOES', 'none')
    """
    prefixes = {found[0] if (found := parsed(tag)) else None for tag in tags}
    if None in prefixes or prefixes <= {OUTSIDE}:
        return "none"
    if prefixes & {END, SINGLE}:
        return "BIOES"
    return "BIO" if BEGIN in prefixes else "IOB1"
