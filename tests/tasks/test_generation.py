"""Texts that are written: a vocabulary that loses nothing, and the scores of sacrebleu."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st

from polytask.batch import Ragged
from polytask.errors import ConfigError, DataError, MissingExtraError, TaskError
from polytask.tasks import Generation
from polytask.tasks.generation import BOS, EOS, MARKS, PAD

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "über", "naïve", "東京", "3.5", "<s>", "</s>", "."]


def texts(seed, n=60):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(n)]


def frame(rows):
    return pl.DataFrame({"x": rows}, schema={"x": pl.String})


TRAIN = texts(0)
TARGET = Generation("x", vocabulary=320).fit(frame(TRAIN))


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=4))
def test_texts_come_back_as_they_were(rows):
    assert TARGET.truth(TARGET.encode(frame(rows))).tolist() == rows


def test_tokens_of_a_text():
    encoded = TARGET.encode(frame(["the cat", None, ""]))
    assert encoded.counts[1:].tolist() == [-1, 1]
    assert encoded.values[-1].tolist() == [EOS]
    own = encoded.parts()[0].flatten().tolist()
    assert own[-1] == EOS
    assert min(own[:-1]) >= MARKS
    assert len(own) <= 3  # frequent words are one piece
    assert max(len(part) for part in TARGET.encode(frame(TRAIN)).parts()) == TARGET.longest
    assert (PAD, BOS, EOS) == (0, 1, 2)
    assert TARGET.outputs <= 320


def test_the_bias_is_the_frequency_of_tokens():
    values = TARGET.encode(frame(TRAIN)).values.flatten().long()
    shares = torch.bincount(values, minlength=TARGET.outputs) / len(values)
    torch.testing.assert_close(TARGET.bias().exp(), shares, atol=1e-6, rtol=1e-4)
    entropy = -(shares[shares > 0] * shares[shares > 0].log()).sum()
    assert TARGET.reference_loss(TARGET.encode(frame(TRAIN))) == pytest.approx(float(entropy), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_sacrebleu(seed):
    rng = np.random.default_rng(seed)
    references = texts(seed + 1)
    near = [" ".join(w for w in row.split() if rng.random() < 0.8) for row in references]
    answer, truth = {"texts": np.array(near, dtype=object)}, np.array(references, dtype=object)
    chrf, bleu = TARGET.task.metrics()
    assert chrf.value(answer, truth) == pytest.approx(sacrebleu.corpus_chrf(near, [references]).score)
    assert bleu.value(answer, truth) == pytest.approx(sacrebleu.corpus_bleu(near, [references]).score)
    rows = bleu.rows(answer, truth)
    without = [
        sacrebleu.corpus_bleu(near[:i] + near[i + 1 :], [references[:i] + references[i + 1 :]]).score for i in range(60)
    ]
    np.testing.assert_allclose(rows - rows.mean(), 59 * (np.mean(without) - np.array(without)), atol=1e-6)


def test_perfect_and_empty_answers():
    truth = np.array(["the cat sat on a mat", "dogs ran on the mat"], dtype=object)
    chrf, bleu = TARGET.task.metrics()
    assert chrf.value({"texts": truth}, truth) == pytest.approx(100)
    assert bleu.value({"texts": truth}, truth) == pytest.approx(100)
    nothing = {"texts": np.array(["", ""], dtype=object)}
    assert (chrf.value(nothing, truth), bleu.value(nothing, truth)) == (0, 0)


def test_answers_end_at_the_first_mark():
    cat = TARGET.encode(frame(["the cat"])).values.flatten().tolist()
    codes = [*cat, *cat, PAD], [BOS, *cat], [PAD, EOS], []
    values = torch.tensor([code for row in codes for code in row])[:, None]
    answer = TARGET.answer(Ragged(values, torch.tensor([len(row) for row in codes])))
    assert TARGET.present(answer)["x"] == ["the cat", "the cat", "", ""]


def test_what_cannot_be_written():
    with pytest.raises(TaskError, match="every text is missing"):
        Generation("x").fit(frame([None, None]))
    with pytest.raises(TaskError, match="every text in the training rows is 'same'"):
        Generation("x").fit(frame(["same", "same"]))
    with pytest.raises(DataError, match="expected text, found values of type Int64"):
        Generation("x").fit(pl.DataFrame({"x": [1, 2]}))
    with pytest.raises(ConfigError, match="vocabulary: expected at least 259, found 100"):
        Generation("x", vocabulary=100)


def test_missing_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"generating text needs the package 'tokenizers'"):
        Generation("x").fit(frame(["a", "b"]))
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    truth = np.array(["a"], dtype=object)
    with pytest.raises(MissingExtraError, match=r"BLEU needs the package 'sacrebleu'(.|\n)*polytask\[text\]"):
        TARGET.task.metrics()[1].rows({"texts": truth}, truth)
