"""Every variant of every catalogue that a learner takes goes through fit, save, load and predict."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from polytask.data.sampling import SAMPLERS
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.tasks import TASKS
from polytask.training.balancers import BALANCERS
from polytask.training.learner import Learner, load

ROWS = 240
FAST = {"epochs": 2, "batch_size": 64, "lr": 0.01}
CHOICES = [
    (key, name)
    for key, catalogue in (
        ("encoder", ENCODERS),
        ("sharing", SHARING),
        ("balancer", BALANCERS),
        ("sampler", SAMPLERS),
    )
    for name in catalogue
    if key != "encoder" or ENCODERS.find(name).reads == "columns"
]
SETTINGS = {
    "fixed": {"name": "fixed", "weights": {"yes": 2.0, "up": 1.0}},
    "power": {"name": "power", "exponent": 0.5},
    "gcs": {"name": "gcs", "main": ["yes"]},
    "ol_aux": {"name": "ol_aux", "main": ["yes"]},
    "cr_mogm": {"name": "cr_mogm", "method": "equal"},
}
"""Variants that cannot do without a hyperparameter."""


def labels(x):
    """For each kind of task: its target columns, from features ``(N, 3)``."""
    level = np.digitize(x[:, 0], [-0.5, 0.5])
    yes = (x[:, 0] > 0).astype(int)
    return {
        "binary": {"t": yes},
        "multiclass": {"t": np.array(["low", "mid", "high"])[level]},
        "pair_classification": {"t": np.array(["low", "mid", "high"])[level]},
        "multilabel": {"t_a": yes, "t_b": (x[:, 1] > 0).astype(int)},
        "ordinal": {"t": level},
        "regression": {"t_a": x[:, 0] * 2 + x[:, 1], "t_b": x[:, 1] ** 2 + x[:, 0]},
        "count": {"t": np.floor(np.exp(x[:, 0])).astype(int)},
    }


def table(kind, seed=0):
    x = np.random.default_rng(seed).normal(size=(ROWS, 3))
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(3)} | labels(x)[kind])
    gaps = pl.Series(np.random.default_rng(seed + 1).random(ROWS) < 0.2)
    targets = [name for name in frame.columns if name.startswith("t")]
    return frame.with_columns(pl.when(~gaps).then(pl.col(name)).alias(name) for name in targets), tuple(targets)


ABOUT_TEXTS = {"tagging", "morph_tagging", "lemmatisation", "dependency_parsing", "span_labelling"}
ABOUT_TEXTS |= {"generation", "language_modelling"}
"""Kinds whose labels belong to words: a table of numbers has none."""


@pytest.mark.parametrize("kind", [kind for kind in TASKS if kind not in ABOUT_TEXTS])
def test_every_kind_of_task_from_table_to_artefact(kind, tmp_path):
    assert kind in labels(np.zeros((1, 3))), f"add an example of {kind!r} to labels() above"
    frame, columns = table(kind)

    learner = Learner([{"kind": kind, "name": "t", "columns": list(columns)}], training=FAST | {"epochs": 30})
    scores = learner.fit(frame[:180]).evaluate(frame[180:])
    assert learner.history[-1].gain > 0.15  # better than the constant predictor
    assert all(np.isfinite(v) for v in scores["t"].values.values())
    learner.save(tmp_path / "model")
    one, two = learner.predict(frame), load(tmp_path / "model").predict(frame.drop(columns))
    assert one.columns == two.columns
    assert one.height == ROWS
    for column in one.columns:
        if one[column].dtype.is_float():
            np.testing.assert_allclose(one[column], two[column], rtol=1e-4, atol=1e-5)
        else:
            assert one[column].to_list() == two[column].to_list()


@pytest.mark.parametrize(("key", "name"), CHOICES)
def test_every_choice_by_its_name(key, name, make_world, tmp_path):
    frame = make_world(rows=ROWS, missing=0.2).frame
    tasks = [{"kind": "binary", "name": "yes"}, {"kind": "regression", "name": "up"}]
    sources = {"one": frame[:100], "two": frame[100:]}
    learner = Learner(tasks, exclude=["down"], training=FAST, **{key: SETTINGS.get(name, name)}).fit(sources)
    assert all(np.isfinite(loss) for loss in learner.history[-1].validation.values())
    learner.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.config == learner.config
    np.testing.assert_allclose(learner.predict(frame)["up"], loaded.predict(frame)["up"], rtol=1e-4, atol=1e-5)
