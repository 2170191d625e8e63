"""Spans that may be nested, against sets of Python and by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from text_labels import nested

from polytask.batch import Ragged
from polytask.errors import ConfigError, DataError, TaskError
from polytask.tasks import SpanLabelling

SPAN = pl.List(pl.Struct({"start": pl.Int64, "end": pl.Int64, "label": pl.String}))


def frame(rows, sizes):
    """Spans as triples, of texts of so many words."""
    spans = [row and [dict(zip(("start", "end", "label"), span, strict=True)) for span in row] for row in rows]
    words = [[f"w{i}" for i in range(n)] for n in sizes]
    return pl.DataFrame({"words": words, "ents": spans}, schema={"words": pl.List(pl.String), "ents": SPAN})


TRAIN = frame([[(0, 2, "ORG"), (0, 1, "LOC")], [], None, [(1, 4, "ORG")]], [3, 2, 5, 4])
TARGET = SpanLabelling("ents").fit(TRAIN)


def scores(target, predicted, true):
    answer, truth = {"spans": target.truth(target.encode(predicted))}, target.truth(target.encode(true))
    return {m.name: (m.value(answer, truth), m.rows(answer, truth)) for m in target.task.metrics()}


def test_labels_are_start_end_and_code():
    encoded = TARGET.encode(TRAIN)
    assert encoded.counts.tolist() == [2, 0, -1, 1]
    assert encoded.values.tolist() == [[0, 2, 2], [0, 1, 1], [1, 4, 2]]
    assert TARGET.classes == ("LOC", "ORG")
    assert (TARGET.unit, TARGET.head, TARGET.width, TARGET.outputs, TARGET.longest) == ("list", "spans", 3, 3, 3)
    twice = frame([[(0, 1, "LOC"), (0, 1, "LOC")]], [2])
    assert TARGET.encode(twice).counts.tolist() == [1]


def test_the_bias_is_the_share_of_all_spans_that_could_be():
    # up to 3 words: 3 + 2 + 1 spans in 3 words, 2 + 1 in 2, 4 + 3 + 2 in 4; 1 of 18 is LOC, 2 are ORG
    np.testing.assert_allclose(TARGET.bias().exp().tolist(), [15 / 18, 1 / 18, 2 / 18], rtol=1e-6)
    entropy = -sum(n / 18 * math.log(n / 18) for n in (15, 1, 2))
    assert TARGET.reference_loss(TARGET.encode(TRAIN)) == pytest.approx(18 * entropy / 9)
    short = SpanLabelling("ents", longest=1).fit(TRAIN)
    assert short.longest == 1


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_sets(seed):
    rng = np.random.default_rng(seed)
    sizes = [0, 1, *rng.integers(1, 9, 40)]
    true, predicted = ([[tuple(s.values()) for s in nested(int(n), rng)] for n in sizes] for _ in range(2))
    predicted = [p if rng.random() < 0.4 else t for p, t in zip(predicted, true, strict=True)]
    target = SpanLabelling("ents").fit(frame(true, sizes))
    found = scores(target, frame(predicted, sizes), frame(true, sizes))
    hits = [len(set(p) & set(t)) for p, t in zip(predicted, true, strict=True)]
    n_predicted, n_true = sum(map(len, predicted)), sum(map(len, true))
    assert found["precision"][0] == pytest.approx(sum(hits) / n_predicted)
    assert found["recall"][0] == pytest.approx(sum(hits) / n_true)
    value, rows = found["span_f1"]
    assert value == pytest.approx(2 * sum(hits) / (n_predicted + n_true))
    bulk = np.array([len(p) + len(t) for p, t in zip(predicted, true, strict=True)])
    np.testing.assert_allclose(rows, value + (2 * np.array(hits) - value * bulk) / bulk.mean())


def test_unseen_labels_are_missed_spans():
    true = frame([[(0, 1, "NEW"), (1, 2, "LOC")]], [2])
    assert TARGET.encode(true).values[:, 2].tolist() == [-1, 1]
    assert TARGET.unseen(true) == {"NEW": 1}
    found = scores(TARGET, frame([[(0, 1, "LOC"), (1, 2, "LOC")]], [2]), true)
    assert found["span_f1"][0] == found["recall"][0] == 1 / 2


def test_nothing_found_and_nothing_to_find():
    nothing, some = frame([[]], [2]), frame([[(0, 1, "LOC")]], [2])
    assert {name: value for name, (value, _) in scores(TARGET, nothing, some).items()} == {
        "span_f1": 0,
        "precision": 0,
        "recall": 0,
    }
    assert all(math.isnan(value) for value, _ in scores(TARGET, nothing, nothing).values())
    assert scores(TARGET, some, nothing)["span_f1"][0] == 0


def test_spans_are_shown_with_their_words():
    answer = TARGET.answer(Ragged(torch.tensor([[0.0, 2.0, 2.0]]), torch.tensor([1, 0])))
    assert TARGET.present(answer) == {"ents": [[{"start": 0, "end": 2, "label": "ORG"}], []]}
    shown = TARGET.present_words(answer, [["New", "York"], ["x"]])["ents"]
    assert shown == [[{"start": 0, "end": 2, "label": "ORG", "text": "New York"}], []]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[(0, 1, "A")], [(0, 3, "A")]], r"row 2(.|\n)*"),
        ([[(0, 3, "A")]], r"0 <= start < end <= 2, the number of words, found \(0, 3, 'A'\)"),
        ([[(1, 1, "A")]], r"found \(1, 1, 'A'\)"),
        ([[(-1, 1, "A")]], r"found \(-1, 1, 'A'\)"),
        ([[(0, 1, None)]], r"found \(0, 1, None\)"),
    ],
)
def test_spans_that_are_none(rows, message):
    with pytest.raises(DataError, match=message):
        SpanLabelling("ents").fit(frame(rows, [2] * len(rows)))


def test_columns_that_are_none():
    with pytest.raises(DataError, match=r"expected spans \{start, end, label\}, found String"):
        SpanLabelling("ents").fit(pl.DataFrame({"words": [["a"]], "ents": [["LOC"]]}))
    with pytest.raises(DataError, match="no column 'words'"):
        SpanLabelling("ents").fit(TRAIN.drop("words"))
    with pytest.raises(TaskError, match="every label is missing"):
        SpanLabelling("ents").fit(frame([[], None], [2, 2]))
    with pytest.raises(ConfigError, match="longest: expected at least 1, found 0"):
        SpanLabelling("ents", longest=0)
