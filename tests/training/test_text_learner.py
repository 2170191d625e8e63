"""Learners of texts: words, rows, trees and lists over one encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from polytask.errors import ConfigError, DataError
from polytask.nets.encoders.words import WordEncoder
from polytask.studies.compare import compare
from polytask.studies.options import CompareOptions
from polytask.tasks.dependency_parsing import DependencyParsing
from polytask.tasks.language_modelling import LanguageModelling
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.tagging import Tagging
from polytask.training.events import EpochDone, Event
from polytask.training.learner import Learner, load, resume

NOUNS, VERBS, NAMES = ("dog", "cat", "house", "tree"), ("sees", "likes", "builds"), ("Anna", "Otto", "Berlin")
SMALL = WordEncoder(width=16, depth=1, word_width=12, character_width=8, dropout=0.0, word_dropout=0.0, min_count=1)
BUDGET = {"epochs": 6, "batch_size": 16, "lr": 0.02, "patience": 0}


def corpus(rows: int, seed: int) -> pl.DataFrame:
    """Sentences of a small grammar: name or noun, verb, noun; the verb is the root and says the topic."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {key: [] for key in ("words", "pos", "ner", "head", "deprel", "topic")}
    for _ in range(rows):
        named, verb = rng.random() < 0.5, VERBS[rng.integers(3)]
        subject = [NAMES[rng.integers(3)]] if named else ["the", NOUNS[rng.integers(4)]]
        words = [*subject, verb, "the", NOUNS[rng.integers(4)]]
        root = len(subject) + 1
        found["words"].append(words)
        found["pos"].append([*(["NAME"] if named else ["DET", "NOUN"]), "VERB", "DET", "NOUN"])
        found["ner"].append([*(["B-X"] if named else ["O", "O"]), "O", "O", "O"])
        found["head"].append([*([root] if named else [2, root]), 0, root + 2, root])
        found["deprel"].append([*(["nsubj"] if named else ["det", "nsubj"]), "root", "det", "obj"])
        found["topic"].append(verb)
    return pl.DataFrame(found)


TRAIN, HELD, TEST = corpus(96, 1), corpus(32, 2), corpus(48, 3)
TASKS = (Tagging("pos"), Tagging("ner", scheme="BIO"), DependencyParsing("deps"), Multiclass("topic"))


@pytest.fixture(scope="module")
def trained() -> Learner:
    return Learner(TASKS, encoder=SMALL, training=BUDGET).fit(TRAIN, HELD)


def test_a_small_grammar_is_learned_for_words_rows_and_trees(trained: Learner) -> None:
    scores = trained.evaluate(TEST)
    assert scores["pos"].value > 0.99
    assert scores["ner"].value > 0.99
    assert scores["deps"]["las"] > 0.9
    assert scores["topic"].value > 0.95
    assert scores["pos"].rows == 48


def test_raw_text_is_split_and_answered_word_by_word(trained: Learner, tmp_path: Path) -> None:
    answered = trained.predict(["Anna sees the house", "", "the dog likes the cat"])
    assert answered["pos"].to_list() == [
        ["NAME", "VERB", "DET", "NOUN"],
        [],
        ["DET", "NOUN", "VERB", "DET", "NOUN"],
    ]
    assert answered["head"].to_list()[0] == [2, 0, 4, 2]
    assert answered["topic"][2] == "likes"
    trained.save(tmp_path / "model")
    assert load(tmp_path / "model").predict(["Anna sees the house", "", "the dog likes the cat"]).equals(answered)


def test_sources_that_share_no_labels_train_one_model() -> None:
    sources = {
        "treebank": TRAIN.select("words", "pos", "head", "deprel")[:64],
        "names": TRAIN.select("words", "ner")[32:],
        "topics": TRAIN.select(pl.col("words").list.join(" ").alias("text"), "topic"),
    }
    learner = Learner(TASKS, encoder=SMALL, training=BUDGET | {"validation_fraction": 0.2}).fit(sources)
    scores = learner.evaluate(TEST)
    assert min(scores["pos"].value, scores["ner"].value, scores["topic"].value) > 0.9


class KillError(Exception):
    pass


@pytest.mark.parametrize("budget", [{}, {"batch_tokens": 128}])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, budget: dict[str, Any]) -> None:
    options = BUDGET | budget | {"epochs": 3}

    def killer(event: Event) -> None:
        if isinstance(event, EpochDone) and event.record.epoch == 2:
            raise KillError

    whole = Learner(TASKS, encoder=SMALL, training=options).fit(TRAIN, HELD)
    with pytest.raises(KillError):
        Learner(TASKS, encoder=SMALL, training=options).fit(TRAIN, HELD, run=tmp_path / "run", listeners=[killer])
    resumed = resume(tmp_path / "run", TRAIN, HELD)
    ours, theirs = (learner.fitted.parts[0].model.task_state() for learner in (resumed, whole))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_batches_of_tokens_need_texts() -> None:
    with pytest.raises(ConfigError, match="no texts"):
        Learner([Multiclass("topic")], training={"batch_tokens": 64}).fit(
            {"x": [1.0, 2.0, 3.0, 4.0] * 10, "topic": ["a", "b"] * 10 + ["b", "a"] * 10}
        )


@pytest.mark.parametrize("balancer", ["pcgrad", "uncertainty", "db_mtl"])
def test_balancers_see_words_as_they_see_rows(balancer: str) -> None:
    learner = Learner(TASKS, encoder=SMALL, balancer=balancer, training=BUDGET | {"epochs": 2}).fit(TRAIN, HELD)
    assert learner.evaluate(TEST)["pos"].value > 0.6


@pytest.mark.parametrize("sharing", ["mmoe", "cross_stitch", "hierarchical", "lora"])
def test_ways_of_sharing_run_over_words(sharing: str) -> None:
    learner = Learner(TASKS, encoder=SMALL, sharing=sharing, training=BUDGET | {"epochs": 2}).fit(TRAIN, HELD)
    assert learner.evaluate(TEST)["pos"].value > 0.6


def test_a_masked_language_model_helps_as_an_auxiliary_task() -> None:
    learner = Learner([Tagging("pos"), LanguageModelling("lm", role="auxiliary")], encoder=SMALL, training=BUDGET)
    learner.fit({"treebank": TRAIN.select("words", "pos"), "text": HELD.select("words")})
    assert "lm" not in learner.predict(TEST).columns
    assert learner.evaluate(TEST)["pos"].value > 0.9


def test_a_task_is_added_to_a_model_of_texts(trained: Learner) -> None:
    flipped = TRAIN.with_columns(shape=pl.col("words").list.eval(pl.element().str.len_chars().cast(pl.String)))
    larger = trained.add_task(Tagging("shape"), flipped.select("words", "shape"), test=TEST, training=BUDGET)
    assert larger.forgetting is not None
    assert larger.forgetting.after["pos"].value == trained.evaluate(TEST)["pos"].value
    assert larger.predict(["Anna sees the house"])["shape"].list.len().to_list() == [4]


def test_taggers_learn_from_teachers() -> None:
    options = BUDGET | {"epochs": 4}
    learner = Learner(TASKS, encoder=SMALL, training=options, distillation={"teachers": "single"}).fit(TRAIN, HELD)
    assert learner.evaluate(TEST)["pos"].value > 0.9


def test_labels_that_training_never_saw_are_errors_and_are_told(trained: Learner) -> None:
    odd = TEST.with_columns(pos=pl.col("pos").list.eval(pl.element().replace("DET", "ARTICLE")))
    with pytest.warns(UserWarning, match="'ARTICLE'.*count as errors"):
        scores = trained.evaluate(odd)
    share = np.mean([word == "DET" for words in TEST["pos"] for word in words])
    assert scores["pos"].value == pytest.approx(trained.evaluate(TEST)["pos"].value - share, abs=0.01)


def test_a_comparison_of_texts_judges_sentences() -> None:
    learner = Learner(TASKS[:2], encoder=SMALL, training=BUDGET | {"epochs": 2})
    record = compare(learner, TRAIN, validation=HELD, test=TEST, options=CompareOptions(seeds=2))
    assert {verdict.task for verdict in record.verdicts if verdict.contender == "multi"} == {"pos", "ner"}


def test_missing_texts_and_labels_are_named() -> None:
    with pytest.raises(DataError, match="no column 'words'"):
        Learner([Tagging("pos")], encoder=SMALL).fit(TRAIN.select("pos"))
    with pytest.raises(DataError, match="no target column 'sense'"):
        Learner([Tagging("sense")], encoder=SMALL).fit(TRAIN)
    short = TRAIN.with_columns(pos=pl.col("pos").list.head(2))
    with pytest.raises(DataError, match="pos"):
        Learner([Tagging("pos")], encoder=SMALL).fit(short)


def test_pairs_of_texts_need_two_columns_and_tell_them_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.choice(["the dog", "Anna", "a house"], 120).tolist() for _ in range(2))
    table = pl.DataFrame(
        {"a": first, "b": second, "same": ["yes" if x == y else "no" for x, y in zip(first, second, strict=True)]}
    )
    task = {"kind": "pair_classification", "name": "same"}
    learner = Learner([task], encoder=SMALL, schema={"text": ["a", "b"]}, training=BUDGET | {"epochs": 15}).fit(table)
    assert learner.evaluate(table)["same"].value > 0.8
    with pytest.raises(DataError, match="2 texts"):
        Learner([task], encoder=SMALL, schema={"text": ["a"]}).fit(table)
