"""Labels as people have them: types, gaps, surprises, and what is said about mistakes."""

import datetime

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polytask.errors import ConfigError, DataError, TaskError
from polytask.tasks import TASKS, Binary, Count, Multiclass, Multilabel, Ordinal, Regression, infer_task
from polytask.tasks.units import Units

ONE = ["binary", "multiclass", "ordinal", "regression", "count", "multilabel"]


def column(*values, dtype=None):
    return pl.DataFrame({"y": pl.Series("y", list(values), dtype=dtype)})


def codes(task, frame, fitted_on=None):
    return task.fit(frame if fitted_on is None else fitted_on).encode(frame)[:, 0].tolist()


# --- which label is which ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        ((True, False), True),
        ((0, 1), 1),
        ((1, 2), 2),
        ((-1, 1), 1),
        ((0.0, 1.0), 1),
        (("no", "yes"), "yes"),
        (("Yes", "maybe"), "Yes"),
        (("TRUE", "false"), "TRUE"),
        (("ham", "spam"), "spam"),
        (("0", "1"), "1"),
    ],
)
def test_the_positive_class(values, positive):
    assert Binary("y").fit(column(*values, *values)).classes[1] == positive


def test_the_positive_class_can_be_chosen():
    frame = column("ham", "spam", None, "spam")
    assert codes(Binary("y", positive="ham"), frame)[:2] == [1, 0]
    target = Binary("y", positive="ham").fit(frame)
    table = target.present({"probability": np.array([0.9, 0.1])})
    assert table["y"] == ["ham", "spam"]
    assert codes(Binary("y", positive=False), column(False, True)) == [1, 0]


def test_tasks_that_differ_in_their_positive_class_share_a_head():
    a, b = Binary("a", positive="x").fit(pl.DataFrame({"a": ["x", "y"]})), Binary("y").fit(column(0, 1))
    assert a.signature == b.signature


def test_whole_floats_are_integers():
    target = Multiclass("y").fit(column(1.0, 3.0, float("nan"), 3.0))
    assert target.classes == (1, 3)
    assert list(target.present({"probabilities": np.eye(2)})) == ["y", "y_p_1", "y_p_3"]


def test_classes_are_found_again_in_another_type():
    numbers = Multiclass("y").fit(column(0, 1, 2))
    assert numbers.encode(column(2.0, None, 0.0))[:, 0].nan_to_num(-1).tolist() == [2, -1, 0]
    assert numbers.encode(column("2", "x", "0"))[:, 0].nan_to_num(-1).tolist() == [2, -1, 0]
    texts = Multiclass("y").fit(column("1", "2", "x"))
    assert texts.encode(column(2, 1))[:, 0].tolist() == [1, 0]
    booleans = Binary("y").fit(column(True, False))
    assert booleans.encode(column(1, 0))[:, 0].tolist() == [1, 0]


def test_categories_are_text():
    frame = column("b", "a", None, "b", dtype=pl.Categorical)
    assert Multiclass("y").fit(frame).classes == ("a", "b")
    assert np.isnan(codes(Multiclass("y"), frame)[2])


def test_large_integers_are_told_apart():
    assert codes(Multiclass("y"), column(2**60, 2**60 + 1, 2**60)) == [0, 1, 0]


@pytest.mark.parametrize("task", [Binary("y"), Multiclass("y"), Ordinal("y", levels=("a", "b"))])
def test_unseen_labels_are_missing_and_counted(task):
    target = task.fit(column("a", "b", "a"))
    later = column("c", "a", "d", None, "c")
    assert target.encode(later)[:, 0].isnan().tolist() == [True, False, True, True, True]
    assert target.unseen(later) == {"c": 2, "d": 1}


def test_unseen_labels_of_many_columns_name_theirs():
    target = Multilabel("m", columns=("a", "b")).fit(pl.DataFrame({"a": [0, 1], "b": ["x", "y"]}))
    assert target.unseen(pl.DataFrame({"a": [2, 0], "b": ["y", "z"]})) == {"a=2": 1, "b=z": 1}


def test_levels_of_an_enum_are_in_its_order():
    frame = column("low", "high", "mid", dtype=pl.Enum(["low", "mid", "high"]))
    assert Ordinal("y").fit(frame).levels == ("low", "mid", "high")
    assert codes(Ordinal("y"), frame) == [0, 2, 1]


def test_declared_levels_set_the_order():
    assert codes(Ordinal("y", levels=(3, 2, 1)), column(1, 2, 3)) == [2, 1, 0]


def test_declared_quantiles_are_presented():
    target = Regression("y", loss="pinball", quantiles=(0.1, 0.25, 0.5, 0.9)).fit(column(1.0, 2.0, 4.0))
    answer = target.answer(torch.zeros(1, 4))
    assert {"q_0.1", "q_0.25", "q_0.5", "q_0.9", "low", "value", "high"} == set(answer)
    assert list(target.present(answer)) == ["y", "y_low", "y_high"]


# --- units ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["none", "log", "quantile"])
def test_encoded_labels_are_standardised_and_come_back(transform):
    values = np.exp(np.random.default_rng(0).normal(2, 1, 5000))
    target = Regression("y", transform=transform).fit(column(*values.tolist()))
    encoded = target.encode(column(*values.tolist()))
    assert encoded.mean().item() == pytest.approx(0, abs=1e-5)
    assert encoded.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(target.truth(encoded)[:, 0], values, rtol=2e-5, atol=1e-5)


def test_the_log_is_the_log():
    values = [1.0, 10.0, 100.0]
    unit = np.std(np.log(values))
    np.testing.assert_allclose(
        codes(Regression("y", transform="log"), column(*values)), [-np.log(10) / unit, 0, np.log(10) / unit], atol=1e-6
    )
    with_zero = [0.0, 10.0, 100.0]
    mapped = np.log1p(with_zero)
    expected = (mapped - mapped.mean()) / mapped.std()
    np.testing.assert_allclose(codes(Regression("y", transform="log"), column(*with_zero)), expected, atol=1e-6)


def test_quantile_transform_makes_heavy_tails_normal():
    values = np.random.default_rng(1).standard_cauchy(20_000)
    encoded = Regression("y", transform="quantile").fit(column(*values.tolist())).encode(column(*values.tolist()))
    assert (encoded[:, 0].abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.005)
    assert encoded.abs().max() < 5


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=60, unique=True), st.integers(-3000, 3000))
def test_quantile_map_is_a_rising_bijection_beyond_its_knots_too(known, new):
    units = Units.fit(np.array(known, float), "quantile")
    points = np.unique(np.array([*known, new, new + 1], float))
    mapped = units.forward(points)
    assert (np.diff(mapped) > 0).all()
    np.testing.assert_allclose(units.backward(mapped), points, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-10, 1e10, 1e149])
def test_labels_of_any_size(scale):
    target = Regression("y").fit(column(scale, 2 * scale, None, 4 * scale))
    encoded = target.encode(column(scale, 2 * scale, None, 4 * scale))
    np.testing.assert_allclose(target.truth(encoded)[[0, 1, 3], 0] / scale, [1, 2, 4], rtol=1e-6)


def test_a_wild_output_under_a_log_stays_finite():
    target = Regression("y", transform="log").fit(column(1.0, 2.0))
    assert np.isfinite(target.answer(torch.tensor([[1e9]]))["value"] ** 2).all()


def test_numbers_written_as_text_are_read():
    assert codes(Count("y"), column("3", None, "5"))[::2] == [3, 5]


# --- mistakes ------------------------------------------------------------------------------------------------------


def kind(name, **fields):
    return TASKS.build({"kind": name, "name": "t", "columns": ["y"], **fields})


@pytest.mark.parametrize("name", ONE)
def test_constant_labels_are_refused(name):
    with pytest.raises(TaskError, match=r"task 't', column 'y': every label in the training rows is 3.*nothing"):
        kind(name).fit(column(3, 3, None, 3))


def test_labels_that_a_transform_or_float32_makes_equal_are_constant():
    with pytest.raises(TaskError, match="nothing to learn"):
        Regression("y", transform="log").fit(column(1e16, 1e16 + 2, 1e16 + 4))
    with pytest.raises(TaskError, match="nothing to learn"):
        Count("y").fit(column(2**40, 2**40 + 1))


def test_digits_after_a_large_mean_are_kept():
    target = Regression("y").fit(column(1e15, 1e15 + 1, 1e15 + 2))
    np.testing.assert_allclose(target.encode(column(1e15, 1e15 + 1, 1e15 + 2))[:, 0], [-(1.5**0.5), 0, 1.5**0.5])


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("dtype", [pl.Null, pl.Float64, pl.String])
def test_missing_labels_are_refused(name, dtype):
    with pytest.raises(TaskError, match="task 't', column 'y': every label is missing"):
        kind(name).fit(column(None, None, dtype=dtype))
    with pytest.raises(TaskError, match="every label is missing"):
        kind(name).fit(column(dtype=dtype))


@pytest.mark.parametrize("name", ONE)
def test_nan_is_missing_and_infinity_is_not(name):
    frame = column(0.0, 1.0, float("nan"), 1.0)
    assert kind(name).fit(frame).encode(frame)[2, 0].isnan()
    bad = column(0.0, 1.0, float("nan"), float("inf"))
    with pytest.raises(DataError, match=r"column 'y', row 4: expected a finite number, found inf"):
        kind(name).fit(bad)
    with pytest.raises(DataError, match="row 4"):
        kind(name).fit(frame).encode(bad)


@pytest.mark.parametrize("name", ONE)
def test_a_column_that_is_not_there_is_named(name):
    with pytest.raises(DataError, match=r"no column 'y'.*\n.*Did you mean 'yy'"):
        kind(name).fit(pl.DataFrame({"yy": [0, 1], "x": [1, 2]}))


@pytest.mark.parametrize("name", ["regression", "count"])
def test_text_among_numbers_is_shown_with_its_row(name):
    with pytest.raises(DataError, match=r"column 'y', row 3: expected a number, found 'n/a'"):
        kind(name).fit(column("1", None, "n/a", "x"))


@pytest.mark.parametrize("name", ["regression", "count"])
def test_numbers_whose_squares_overflow_are_refused(name):
    with pytest.raises(DataError, match=r"row 2: expected a number of at most 1e\+150, found 1e\+308"):
        kind(name).fit(column(0.0, 1e308, 1.0))


@pytest.mark.parametrize("name", ONE)
def test_dates_are_no_labels(name):
    with pytest.raises(DataError, match="found values of type Date"):
        kind(name).fit(column(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)))


@pytest.mark.parametrize("name", ["binary", "multilabel"])
def test_three_labels_are_not_two(name):
    with pytest.raises(TaskError, match=r"two different labels, found 3: 'a', 'b', 'c'\.\n.*multiclass.*ordinal"):
        kind(name).fit(column("a", "b", "c"))


def test_a_positive_label_that_does_not_occur():
    with pytest.raises(TaskError, match=r"'yess' is no label.*\n.*Did you mean 'yes'"):
        Binary("y", positive="yess").fit(column("no", "yes"))


@pytest.mark.parametrize(("value", "row"), [(-1, 2), (0.5, 2)])
def test_counts_are_whole_and_not_negative(value, row):
    with pytest.raises(DataError, match=rf"row {row}: expected a count .*found {value}"):
        Count("y").fit(column(3.0, float(value), None))


def test_negative_labels_have_no_log():
    with pytest.raises(DataError, match=r"row 3: expected a number of at least 0, found -2"):
        Regression("y", transform="log").fit(column(1.0, None, -2.0))
    target = Regression("y", transform="log").fit(column(1.0, 2.0))
    with pytest.raises(DataError, match=r"row 1: expected a number above 0, as all training labels were, found 0"):
        target.encode(column(0.0, 1.0))


def test_text_has_no_order_by_itself():
    with pytest.raises(TaskError, match=r"order must be declared; found 'high', 'low', 'mid'\.\n.*levels=\("):
        Ordinal("y").fit(column("low", "mid", "high"))


def test_labels_outside_the_levels():
    with pytest.raises(TaskError, match=r"'mediun' is not among the levels.*\n.*Did you mean 'medium'"):
        Ordinal("y", levels=("low", "medium")).fit(column("low", "medium", "mediun"))


def test_as_many_class_weights_as_classes():
    with pytest.raises(TaskError, match="expected 3 weights"):
        Multiclass("y", class_weights=(1.0, 2.0)).fit(column("a", "b", "c"))


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("binary", {"loss": "focl"}, "loss"),
        ("binary", {"gamma": -1.0}, "gamma: expected a number of at least 0"),
        ("binary", {"label_smoothing": 1.0}, "label_smoothing: expected a number in"),
        ("binary", {"class_weights": [1.0, -1.0]}, "class_weights: expected 'balanced' or"),
        ("binary", {"class_weights": "balance"}, "class_weights"),
        ("binary", {"columns": ["a", "b"]}, "expected one target column for Binary, found 2"),
        ("binary", {"metric": "auk"}, "Did you mean 'auc'"),
        ("multiclass", {"top_k": 0}, "top_k: expected at least 1"),
        ("ordinal", {"levels": ["a", "a"]}, "levels: expected two or more different labels"),
        ("ordinal", {"loss": "coral"}, "loss"),
        ("regression", {"delta": 0.0}, "delta: expected a number above 0"),
        ("regression", {"transform": "sqrt"}, "transform"),
        ("regression", {"quantiles": [0.5, 0.1, 0.9]}, "quantiles: expected three or more rising"),
        ("regression", {"quantiles": [0.1, 0.4, 0.9]}, "quantiles"),
        ("regression", {"loss": "pinball", "metric": "coverage"}, "wider intervals always cover more"),
        ("count", {"weight": 0.0}, "expected a weight above 0"),
        ("count", {"role": "auxilary"}, "role"),
    ],
)
def test_wrong_choices_are_refused(name, fields, message):
    with pytest.raises(ConfigError, match=message):
        kind(name, **fields)


def test_wrong_words_are_refused_in_python_too():
    with pytest.raises(ConfigError, match=r"loss: 'focl'.*\n.*Did you mean 'focal'"):
        Binary("y", loss="focl")
    with pytest.raises(ConfigError, match="Did you mean 'auxiliary'"):
        Count("y", role="auxilary")


# --- guessing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pl.Series([True, False, None]), "binary"),
        (pl.Series([0, 1, 1]), "binary"),
        (pl.Series(["no", "yes"]), "binary"),
        (pl.Series([0.5, 1.5, 0.5]), "binary"),
        (pl.Series(["a", "b", "c"] * 3), "multiclass"),
        (pl.Series(["a", "b", "c"] * 3, dtype=pl.Enum(["c", "b", "a"])), "ordinal"),
        (pl.Series([1, 2, 3, 4, 5]), "ordinal"),
        (pl.Series([1.0, None, 2.0, 3.0]), "ordinal"),
        (pl.Series([1, 2, 7, 9]), "multiclass"),
        (pl.Series(list(range(15))), "count"),
        (pl.Series(list(range(90))), "regression"),
        (pl.Series(list(range(18, 40))), "regression"),
        (pl.Series(list(range(-9, 9))), "regression"),
        (pl.Series([0.5, 1.25, 3.0, float("nan")]), "regression"),
        (pl.Series(np.linspace(0, 1, 100)), "regression"),
        (pl.Series([float(i) for i in range(15)]), "count"),
    ],
)
def test_guesses(series, expected):
    guess = infer_task(series.alias("y"), "y")
    assert TASKS.name_of(guess.task) == expected
    assert guess.reason
    guess.task.fit(pl.DataFrame({"y": series}))  # what is guessed can be learned


def test_names_are_no_classes():
    with pytest.raises(TaskError, match="30 different texts in 30 rows are names"):
        infer_task(pl.Series("y", [f"person {i}" for i in range(30)]), "y")


def test_nothing_to_guess_from():
    with pytest.raises(TaskError, match="every label is missing"):
        infer_task(pl.Series("y", [None, None]), "y")
    with pytest.raises(TaskError, match="nothing to learn"):
        infer_task(pl.Series("y", [2, 2]), "y")


@pytest.mark.parametrize("name", ["n", "label", "count", "len", "literal", "index"])
@pytest.mark.parametrize("task", [Binary, Multiclass, Ordinal, Regression, Count])
def test_no_name_of_a_column_is_special(name, task):
    frame = pl.DataFrame({name: [0, 1, 2, 1, 0, 2][: 6 if task is not Binary else 2]})
    target = task(name).fit(frame)
    assert not target.unseen(frame)
    assert target.encode(frame).shape == (len(frame), 1)
