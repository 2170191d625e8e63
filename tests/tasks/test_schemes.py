"""Any tags mean spans, spans can be written in any scheme, and what is written is legal."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.tasks.schemes import PREFIXES, guessed, legal_steps, parsed, read_spans, write_spans, written
from polytask.tasks.tag_sequences import TagSet, firsts

entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
KINDS = ("A", "B")
ALL = ["O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BIES")]
sentences = st.lists(st.lists(st.sampled_from(ALL), max_size=7), max_size=5)


def parts(rows):
    pairs = [parsed(tag) for row in rows for tag in row]
    prefix = np.array([prefix for prefix, _ in pairs], dtype=np.int64)
    kind = np.array([KINDS.index(kind) if kind else -1 for _, kind in pairs], dtype=np.int64)
    return prefix, kind, firsts(np.array([len(row) for row in rows], dtype=np.int64), len(prefix))


def seqeval_spans(rows):
    """Spans as seqeval reads them, with places counted through all sentences."""
    found, offset = [], 0
    for row in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found += [(start + offset, end + offset + 1, kind) for kind, start, end in entities(row)]
        offset += len(row)
    return sorted(found)


def listed(spans):
    return sorted(
        (int(start), int(end), KINDS[kind]) for start, end, kind in zip(*(part.tolist() for part in spans), strict=True)
    )


@given(sentences)
def test_spans_are_those_of_seqeval(rows):
    assert listed(read_spans(*parts(rows))) == seqeval_spans(rows)


@given(sentences, st.sampled_from(["BIO", "IOB1", "IOB2", "BIOES"]))
def test_what_is_written_means_the_same_and_is_legal(rows, scheme):
    prefix, kind, first = parts(rows)
    spans = read_spans(prefix, kind, first)
    again = write_spans(spans, len(prefix), scheme, first)
    assert listed(read_spans(again, kind, first)) == listed(spans)
    if scheme == "BIOES":
        assert listed(read_spans(again, kind, first, strict=True)) == listed(spans)
    np.testing.assert_array_equal(write_spans(read_spans(again, kind, first), len(prefix), scheme, first), again)
    tags = TagSet(tuple(ALL), scheme)
    steps, start, end = tags.legal
    codes = [ALL.index(written(int(p), KINDS[k] if p else "")) for p, k in zip(again, kind, strict=True)]
    for i, code in enumerate(codes):
        assert start[code] if first[i] else steps[codes[i - 1], code]
        if i + 1 == len(codes) or first[i + 1]:
            assert end[code]


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=6), st.sampled_from(["BIO", "IOB1", "BIOES"]))
def test_legal_is_what_the_repair_leaves_alone(row, scheme):
    used = {"BIO": "OBI", "IOB1": "OBI", "BIOES": "OBIES"}[scheme]
    prefix, kind, first = parts([row])
    if any(PREFIXES[p] not in used for p in prefix):
        return
    steps, start, end = legal_steps(*parts([ALL])[:2], scheme)
    codes = [ALL.index(tag) for tag in row]
    legal = start[codes[0]] and end[codes[-1]] and all(steps[a, b] for a, b in pairwise(codes))
    again = write_spans(read_spans(prefix, kind, first), len(row), scheme, first)
    assert legal == bool((again == prefix).all())


def test_tags_and_schemes():
    assert parsed("B") == (1, "")
    assert parsed("B-") is None
    assert parsed("X-PER") is None
    assert parsed("") is None
    assert [written(*parsed(tag)) for tag in ("O", "B", "I-a-b")] == ["O", "B", "I-a-b"]
    assert guessed(set()) == guessed({"O"}) == guessed({"O", "NN"}) == "none"
