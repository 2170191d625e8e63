"""Trees: attachment scores of trees drawn by hand, unseen relations, and heads that form no tree."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from corpora import treebank

from polytask.batch import Ragged
from polytask.errors import ConfigError, DataError, TaskError
from polytask.tasks import DependencyParsing

# She reads his old books .      /      Go !
HEADS = [[2, 0, 5, 5, 2, 2], [0, 1]]
RELATIONS = [["nsubj", "root", "nmod:poss", "amod", "obj", "punct"], ["root", "punct"]]


def frame(heads, relations):
    return pl.DataFrame(
        {"head": heads, "deprel": relations}, schema={"head": pl.List(pl.Int64), "deprel": pl.List(pl.String)}
    )


TRAIN = frame(HEADS, RELATIONS)
TARGET = DependencyParsing("syntax").fit(TRAIN)


def kept(target, data):
    counts = data["head"].list.len().cast(pl.Int64).fill_null(-1).to_numpy()
    return Ragged(target.encode(data.drop_nulls()), torch.from_numpy(counts.copy()))


def scores(target, predicted, true):
    truth, answer = target.truth(kept(target, true)), {"trees": target.truth(kept(target, predicted))}
    return {metric.name: metric.value(answer, truth) for metric in target.task.metrics()}


def test_attachment_scores_of_trees_drawn_by_hand():
    predicted = frame(
        [[2, 0, 4, 2, 2, 4], [0, 1]],  # "his" below "old", "old" and "." in the wrong place: 5 of 8 heads are right
        [["nsubj", "root", "nmod", "amod", "nmod", "punct"], ["root", "punct"]],
    )
    found = scores(TARGET, predicted, TRAIN)
    assert found["uas"] == 5 / 8
    assert found["las"] == 4 / 8  # "books" has the right head and the wrong relation


def test_subtypes_are_not_compared():
    predicted = frame(HEADS, [[r.replace("nmod:poss", "nmod") for r in row] for row in RELATIONS])
    target = DependencyParsing("syntax").fit(frame([*HEADS, [0, 1]], [*RELATIONS, ["root", "nmod"]]))
    found = scores(target, predicted, TRAIN)
    assert (found["las"], found["uas"], found["las_subtypes"]) == (1, 1, 7 / 8)


def test_unseen_relations():
    true = frame([[0, 1, 1, 1]], [["root", "nmod:tmod", "vocative", "obj"]])
    target = DependencyParsing("syntax").fit(frame([*HEADS, [0, 1]], [*RELATIONS, ["root", "nmod"]]))
    encoded = target.encode(true)
    assert encoded[:, 0].tolist() == [0, 1, 1, 1]
    assert (encoded[:, 1] < 0).tolist() == [False, True, True, False]
    assert target.unseen(true) == {"nmod:tmod": 1, "vocative": 1}
    predicted = frame([[0, 1, 1, 1]], [["root", "nmod", "punct", "obj"]])
    found = scores(target, predicted, true)
    assert found == {"las": 3 / 4, "uas": 1, "las_subtypes": 2 / 4}  # nmod is the universal part of nmod:tmod
    losses = target.task.row_losses(torch.zeros(4, 1, target.outputs), encoded[:, None], {})
    assert losses[1:3, 0].tolist() == pytest.approx([math.log(target.outputs)] * 2)


def test_row_scores_are_influences_of_sentences():
    predicted = frame([[2, 0, 2, 5, 2, 2], [2, 0]], RELATIONS)
    truth, answer = TARGET.truth(kept(TARGET, TRAIN)), {"trees": TARGET.truth(kept(TARGET, predicted))}
    uas = next(metric for metric in TARGET.task.metrics() if metric.name == "uas")
    rows = uas.rows(answer, truth)
    value = 5 / 8
    np.testing.assert_allclose(rows, [value + (5 - value * 6) / 4, value + (0 - value * 2) / 4])


def test_the_reference_loss_is_that_of_guessing_heads_and_relations():
    counts = {"nsubj": 1, "root": 2, "nmod:poss": 1, "amod": 1, "obj": 1, "punct": 2}
    entropy = -sum(n / 8 * math.log(n / 8) for n in counts.values())
    heads = (6 * math.log(6) + 2 * math.log(2)) / 8
    assert TARGET.reference_loss(kept(TARGET, TRAIN)) == pytest.approx(entropy + heads)


def test_sentences_with_heads_or_relations_only_have_no_label():
    data = frame([[0], None, [0, 1]], [["root"], ["root"], None])
    assert DependencyParsing("syntax").fit(pl.concat([TRAIN, data])).bias().exp()[5] == pytest.approx(3 / 9)


def test_missing_words_and_sentences():
    true = frame([[2, 0, None], None, []], [["nsubj", "root", None], None, []])
    encoded = kept(TARGET, true)
    assert encoded.present.tolist() == [True, False, True]
    assert encoded.values.isnan().all(1).tolist() == [False, False, True]
    predicted = frame([[2, 0, 1], [0], []], [["nsubj", "obj", "obj"], ["root"], []])
    answer = {"trees": TARGET.truth(kept(TARGET, predicted))[[0, 2]]}
    truth = TARGET.truth(encoded[encoded.present])
    found = {metric.name: metric.value(answer, truth) for metric in TARGET.task.metrics()}
    assert found == {"las": 1 / 2, "uas": 1, "las_subtypes": 1 / 2}


@pytest.mark.parametrize(
    ("heads", "relations", "message"),
    [
        ([[0], [2, 3, 2]], [["root"], ["a", "b", "c"]], r"row 2: expected a tree, found a cycle above word 1"),
        ([[0], [2, 1]], [["root"], ["a", "b"]], r"row 2: expected a tree, found a cycle"),
        ([[0, 3]], [["root", "a"]], r"row 1: expected the head of word 2 among 0 \(the root\) and the other 1 words"),
        ([[0, 2]], [["root", "a"]], r"found 2"),
        ([[-1]], [["root"]], r"found -1"),
        ([[0, 1]], [["root"]], r"row 1: expected lists of equal length, found 2 of 'head' and 1 of 'deprel'"),
        ([None, [0, 1]], [["root"], ["root"]], r"row 2: expected lists of equal length"),
    ],
)
def test_heads_that_form_no_tree(heads, relations, message):
    with pytest.raises(DataError, match=message):
        DependencyParsing("syntax").fit(frame(heads, relations))


def test_wrong_columns():
    with pytest.raises(ConfigError, match=r"expected two columns, of heads and of relations, found 1"):
        DependencyParsing("syntax", columns=("head",))
    with pytest.raises(DataError, match="expected lists of whole numbers, found lists of String"):
        DependencyParsing("syntax").fit(pl.DataFrame({"head": [["0"]], "deprel": [["root"]]}))
    with pytest.raises(TaskError, match="every label in the training rows is 'root'"):
        DependencyParsing("syntax").fit(frame([[0], [0]], [["root"], ["root"]]))


def test_trees_that_cross_and_roots_that_are_two_are_trees():
    data = frame([[3, 4, 0, 3, 1], [0, 0]], [["a", "b", "root", "c", "d"], ["root", "root"]])
    assert DependencyParsing("syntax").fit(data).outputs == 5


def test_answers_are_what_the_head_decoded():
    codes = Ragged(torch.tensor([[0.0, 5.0], [1.0, 4.0], [0.0, 5.0]]), torch.tensor([2, 0, 1]))
    shown = TARGET.present(TARGET.answer(codes))
    assert shown == {"head": [[0, 1], [], [0]], "deprel": [["root", "punct"], [], ["root"]]}
    assert (TARGET.unit, TARGET.head, TARGET.width) == ("word", "biaffine", 2)


def test_the_treebank():
    train, dev = treebank("train"), treebank("dev")
    target = DependencyParsing("syntax").fit(train)
    assert len(target.universal) == len({r.split(":")[0] for r in train["deprel"].explode()})
    assert sum(target.unseen(dev).values()) < 20
    found = scores(target, dev.select("head", "deprel"), dev.select("head", "deprel"))
    assert found["uas"] == 1
    assert found["las"] > 0.999
    rng = np.random.default_rng(0)
    trees = [[str(h) if rng.random() < 0.7 else "0" for h in row] for row in dev["head"]]
    guesses = [[r if rng.random() < 0.7 else "nmod:poss" for r in row] for row in dev["deprel"]]
    flat = [
        (int(h) == g, r.split(":")[0] == w.split(":")[0])
        for gold, wanted, own, said in zip(dev["head"], dev["deprel"], trees, guesses, strict=True)
        for h, g, r, w in zip(own, gold, said, wanted, strict=True)
    ]
    predicted = pl.DataFrame({"head": trees, "deprel": guesses}).with_columns(pl.col("head").cast(pl.List(pl.Int64)))
    found = scores(target, predicted, dev.select("head", "deprel"))
    assert found["uas"] == pytest.approx(np.mean([head for head, _ in flat]))
    assert found["las"] == pytest.approx(np.mean([head and relation for head, relation in flat]))
    # the head of every word is the one before it: how often that is right, counted by hand
    chain = dev.select(pl.col("head").list.eval(pl.int_range(0, pl.len())), "deprel")
    hits = sum(h == i for row in dev["head"] for i, h in enumerate(row))
    assert scores(target, chain, dev.select("head", "deprel"))["uas"] == pytest.approx(
        hits / dev["head"].list.len().sum()
    )
