"""Labels that are probabilities."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from polytask.errors import ConfigError, DataError, TaskError
from polytask.tasks import Binary, Multiclass

COLUMNS = ("mood_p_bad", "mood_p_good", "mood_p_odd")
ROWS = [(0.2, 0.8, 0.0), (0.5, 0.25, 0.25), (None, None, None), (0.1, 0.2, 0.7)]


def table(rows, columns=COLUMNS):
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float64), orient="row")


MOOD = Multiclass("mood", columns=COLUMNS).fit(table(ROWS))


def test_classes_are_named_by_their_columns():
    assert MOOD.classes == ("bad", "good", "odd")
    assert (MOOD.outputs, MOOD.width) == (3, 3)
    plain = ("rain", "sun")
    assert Multiclass("weather", columns=plain).fit(table([(0.1, 0.9), (0.5, 0.5)], plain)).classes == plain


def test_the_loss_is_the_cross_entropy_to_the_probabilities():
    outputs = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(0))
    encoded = MOOD.encode(table(ROWS))
    assert encoded.isnan().all(1).tolist() == [False, False, True, False]
    found = MOOD.task.row_losses(outputs, encoded[:, None], {})[:, 0]
    shares = torch.tensor([row for row in ROWS if row[0] is not None])
    expected = torch.nn.functional.cross_entropy(outputs[[0, 1, 3], 0], shares, reduction="none")
    torch.testing.assert_close(found[[0, 1, 3]], expected)
    # hard labels are soft ones that are certain
    hard = Multiclass("y").fit(pl.DataFrame({"y": ["bad", "good", "odd"]}))
    certain = torch.eye(3)[[1, 0, 2, 2]]
    for options in ({}, {"loss": "focal"}, {"label_smoothing": 0.3}):
        soft = Multiclass("mood", columns=COLUMNS, **options)
        same = Multiclass("y", **options).row_losses(outputs, torch.tensor([1.0, 0, 2, 2])[:, None, None], {})
        torch.testing.assert_close(soft.row_losses(outputs, certain[:, None], {}), same)
    assert hard.signature != MOOD.signature


def test_the_bias_is_the_mean_probability():
    np.testing.assert_allclose(MOOD.bias().exp().tolist(), [0.8 / 3, 1.25 / 3, 0.95 / 3], rtol=1e-6)


def test_metrics_look_at_the_most_probable_class():
    encoded = MOOD.encode(table(ROWS))
    truth = MOOD.truth(encoded[[0, 1, 3]])
    assert truth.tolist() == [[1], [0], [2]]
    answer = MOOD.answer(torch.tensor([[0.0, 2, 0], [0, 2, 0], [0, 0, 2]]))
    assert MOOD.task.main_metric.value(answer, truth) == pytest.approx(2 / 3)
    shown = MOOD.present(answer)
    assert shown["mood"] == ["good", "good", "odd"]
    assert set(shown) == {"mood", *COLUMNS}  # what one model writes another one may learn from


def test_probabilities_that_were_rounded_sum_up_to_one():
    encoded = MOOD.encode(table([(0.33, 0.33, 0.33)]))
    assert float(encoded.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0.5, 0.6, 0.2), r"sum up to 1, found 1.3(.|\n)*"),
        ((-0.1, 0.6, 0.5), r"column 'mood_p_bad', row 2: expected a probability from 0 to 1, found -0.1"),
        ((0.0, 1.5, 0.0), r"row 2: expected a probability from 0 to 1, found 1.5"),
    ],
)
def test_what_are_no_probabilities(row, message):
    with pytest.raises(DataError, match=message):
        MOOD.encode(table([ROWS[0], row]))


def test_several_columns_of_classes_are_no_probabilities():
    words = pl.DataFrame({"a": ["red", "blue"], "b": ["up", "down"]})
    with pytest.raises(
        DataError, match=r"column 'a', row 1: expected a probability from 0 to 1, found 'red'(.|\n)*one column"
    ):
        Multiclass("y", columns=("a", "b")).fit(words)


def test_soft_labels_that_teach_nothing():
    for rows, message in (
        ([ROWS[2]] * 2, "every label is missing"),
        ([ROWS[0]] * 3, "is 0.2, 0.8, 0: there is nothing"),
    ):
        with pytest.raises(TaskError, match=message):
            MOOD.task.fit(table(rows))
    with pytest.raises(ConfigError, match="class_weights: soft labels have none"):
        Multiclass("mood", columns=COLUMNS, class_weights="balanced")
    with pytest.raises(ConfigError, match="neither class_weights nor a positive label"):
        Binary("p", soft=True, positive=True)


def test_a_probability_of_yes():
    data = pl.DataFrame({"p": [0.9, 0.2, None, 0.5]})
    target = Binary("p", soft=True).fit(data)
    encoded = target.encode(data)
    np.testing.assert_allclose(encoded[:, 0], [0.9, 0.2, np.nan, 0.5], rtol=1e-6)
    assert float(torch.sigmoid(target.bias())) == pytest.approx(1.6 / 3)
    outputs = torch.tensor([1.0, -2.0, 0.0, 3.0])
    found = target.task.row_losses(outputs[:, None, None], encoded[:, None], {})[:, 0]
    known = torch.tensor([0, 1, 3])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs[known], encoded[known, 0], reduction="none")
    torch.testing.assert_close(found[known], expected)
    assert target.truth(encoded[known]).tolist() == [[1], [0], [1]]
    shown = target.present(target.answer(outputs[:, None]))
    assert list(shown["p"]) == [True, False, True, True]
    with pytest.raises(DataError, match=r"row 2: expected a probability from 0 to 1, found 7"):
        target.encode(pl.DataFrame({"p": [0.5, 7.0]}))
    with pytest.raises(TaskError, match="there is nothing to learn"):
        Binary("p", soft=True).fit(pl.DataFrame({"p": [0.3, 0.3]}))
