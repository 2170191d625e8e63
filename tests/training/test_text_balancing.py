"""Balancers that look again at a part of a batch, on texts: labels of words and of rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from polytask.training.learner import Learner

WORDS = ["up", "down", "left", "right"]


def texts(rows=96, seed=0):
    rng = np.random.default_rng(seed)
    lines = [[WORDS[i] for i in rng.integers(0, 4, rng.integers(2, 7))] for _ in range(rows)]
    tags = [["v" if word in ("up", "down") else "h" for word in line] for line in lines]
    mood = [float(line.count("up") - line.count("down")) for line in lines]
    return pl.DataFrame({"words": lines, "tag": [t if i % 5 else None for i, t in enumerate(tags)], "mood": mood})


@pytest.mark.parametrize(
    ("balancer", "training"), [("mgda", {"balance_rows": 0.25}), ("modo", {}), ("auto_lambda", {}), ("dtp", {})]
)
def test_words_and_rows(balancer, training):
    learner = Learner(
        [{"kind": "tagging", "name": "tag"}, {"kind": "regression", "name": "mood"}],
        encoder={"name": "words"},
        balancer=balancer,
        training={"epochs": 3, "batch_size": 16, "lr": 0.01} | training,
    ).fit(texts())
    assert learner.history[-1].gain > 0
