"""Options are checked, and the learning rate follows its formula."""

from __future__ import annotations

import math

import pytest

from polytask.catalogue import changed_fields, make
from polytask.errors import ConfigError
from polytask.training.options import TrainingOptions, lr_factor


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("accumulate", 0),
        ("lr", 0.0),
        ("lr", math.inf),
        ("weight_decay", -1.0),
        ("momentum", 1.0),
        ("warmup", -0.1),
        ("clip_norm", 0.0),
        ("validation_fraction", 1.0),
        ("patience", -1),
        ("max_steps", 0),
        ("nan_patience", 0),
        ("checkpoint_every", 0),
        ("checkpoint_steps", 0),
        ("threads", 0),
        ("devices", 0),
        ("optimizer", "adam"),
        ("schedule", "linear"),
        ("select_by", "auc"),
        ("keep", "all"),
        ("precision", "16"),
    ],
)
def test_wrong_values_are_named(field, value):
    with pytest.raises(ConfigError, match=f"training.{field}: expected"):
        TrainingOptions(**{field: value})


def test_options_from_plain_values_and_back():
    options = make(TrainingOptions, {"epochs": 3, "lr": 1, "clip_norm": None, "devices": "auto"}, where="training")
    assert options == TrainingOptions(epochs=3, lr=1.0, devices="auto")
    assert changed_fields(options) == {"epochs": 3, "lr": 1.0, "devices": "auto"}
    with pytest.raises(ConfigError, match=r"training\.epochs.*integer"):
        make(TrainingOptions, {"epochs": "many"}, where="training")
    with pytest.raises(ConfigError, match="Did you mean 'patience'"):
        make(TrainingOptions, {"patiense": 3}, where="training")


def test_warm_up_is_linear_in_steps_or_in_a_share():
    steps = TrainingOptions(warmup=4)
    assert [lr_factor(s, 100, steps) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    share = TrainingOptions(warmup=0.04)
    assert [lr_factor(s, 100, share) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert lr_factor(0, 100, TrainingOptions()) == 1.0


def test_cosine_by_hand():
    options = TrainingOptions(schedule="cosine", warmup=2)
    # 2 steps of warm-up, then cos from 0 to pi over 8 steps: a quarter of the way is (1 + sqrt(1/2)) / 2.
    assert lr_factor(0, 10, options) == 0.5
    assert lr_factor(2, 10, options) == 1.0
    assert lr_factor(4, 10, options) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert lr_factor(6, 10, options) == pytest.approx(0.5)
    assert lr_factor(10, 10, options) == pytest.approx(0.0)
    assert lr_factor(50, 10, options) == pytest.approx(0.0)  # a prolonged run stays at 0
