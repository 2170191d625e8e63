"""What a schema learns of each kind of column, and what it answers to tables of another shape."""

import json
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

import polytask.data.columns as package
from polytask.data.columns import COLUMNS
from polytask.data.options import SchemaOptions
from polytask.data.schema import Schema
from polytask.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
WIDE = pl.DataFrame(
    {
        "normal": RNG.normal(5, 3, 400),
        "tail": RNG.lognormal(0, 2, 400),
        "gaps": np.where(RNG.random(400) < 0.2, np.nan, RNG.normal(size=400)),
        "city": RNG.choice(["Bern", "Basel", "Chur"], 400, p=[0.6, 0.3, 0.1]),
        "yes": RNG.random(400) < 0.5,
        "seen": [datetime(2020, 1 + i % 12, 1 + i % 28, i % 24) for i in range(400)],
    },
    nan_to_null=True,
)


def fit(frame: pl.DataFrame | dict[str, list[object]], **options: object) -> Schema:
    return Schema.fit(pl.DataFrame(frame), options=SchemaOptions(**options))  # type: ignore[arg-type]


def numbers(schema: Schema, frame: pl.DataFrame | dict[str, list[object]]) -> list[list[float]]:
    return schema.encode(pl.DataFrame(frame)).numeric.tolist()


def test_the_catalogue_lists_the_folder() -> None:
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__", "column"}
    assert files == set(COLUMNS), "add the import and a line to COLUMNS in columns/__init__.py"


# --- the whole ------------------------------------------------------------------------------------------------------


def test_shapes_types_and_spec_agree() -> None:
    schema = Schema.fit(WIDE, options=SchemaOptions(bins=8))
    inputs = schema.encode(WIDE)
    assert inputs.numeric.dtype == torch.float32
    assert inputs.categorical.dtype == torch.int64
    assert inputs.numeric.shape == (400, schema.spec.numeric)
    assert schema.spec.cardinalities == (4,)
    assert inputs.categorical.max() < 4
    assert inputs.numeric.isfinite().all()
    assert len(schema.spec.edges) == schema.spec.numeric
    assert [note.column for note in schema.notes] == WIDE.columns


def test_json_gives_an_equal_schema_with_equal_codes() -> None:
    schema = Schema.fit(WIDE, options=SchemaOptions(bins=5, numeric="quantile"))
    again = Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert again == schema
    assert torch.equal(again.encode(WIDE).numeric, schema.encode(WIDE).numeric)


def test_columns_in_any_order_and_extra_ones_and_lazy_tables() -> None:
    schema = Schema.fit(WIDE)
    expected = schema.encode(WIDE)
    other = WIDE.select(pl.lit("x").alias("extra"), *reversed(WIDE.columns))
    for frame in (other, other.lazy()):
        inputs = schema.encode(frame)
        assert torch.equal(inputs.numeric, expected.numeric)
        assert torch.equal(inputs.categorical, expected.categorical)


def test_rows_are_encoded_one_by_one() -> None:
    schema = Schema.fit(WIDE)
    whole = schema.encode(WIDE)
    alone = schema.encode(WIDE[7:8])
    assert torch.equal(whole.numeric[7:8], alone.numeric)
    assert torch.equal(whole.categorical[7:8], alone.categorical)
    assert schema.encode(WIDE[:0]).numeric.shape == (0, schema.spec.numeric)


def test_missing_columns_are_named() -> None:
    schema = Schema.fit(WIDE)
    with pytest.raises(DataError, match=r"1 of 6 feature columns are missing: 'normal'\.\n.*Did you mean 'Normal'"):
        schema.encode(WIDE.rename({"normal": "Normal"}))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "version"),
        ({"version": 99, "columns": [], "optional": [], "notes": []}, "version 1, found 99"),
        ({"version": 1, "columns": 3}, "lists"),
        ({"version": 1, "columns": [{"kind": "numerik"}], "optional": [], "notes": []}, "Did you mean 'numeric'"),
        ({"version": 1, "columns": [{"kind": "os:path"}], "optional": [], "notes": []}, "trust"),
        (
            {"version": 1, "columns": [{"kind": "numeric", "name": "x", "mean": "1"}], "optional": [], "notes": []},
            "mean",
        ),
    ],
)
def test_a_broken_file_is_explained(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schema.from_json(mapping)


def test_features_and_exclude_choose() -> None:
    assert Schema.fit(WIDE, exclude=["tail", "seen"]).names == ("normal", "gaps", "city", "yes")
    assert Schema.fit(WIDE, features=["yes", "normal"]).names == ("normal", "yes")
    for wrong in ({"exclude": ["tial"]}, {"features": ["tial"]}, {"options": SchemaOptions(categorical=("tial",))}):
        with pytest.raises(DataError, match="Did you mean 'tail'"):
            Schema.fit(WIDE, **wrong)  # type: ignore[arg-type]


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="no feature is left"):
        fit({"a": [1, 1], "b": [None, None]})
    with pytest.raises(DataError, match="no rows"):
        Schema.fit(WIDE[:0])


def test_sources_with_different_columns_are_one_schema() -> None:
    a, b = WIDE.select("normal", "city"), WIDE.select("normal", "tail")
    schema = Schema.fit({"a": a, "b": b})
    assert schema.names == ("normal", "city", "tail")
    assert schema.optional == ("city", "tail")
    assert set(schema.encode(b).categorical[:, 0].tolist()) == {0}
    numeric = schema.encode(a).numeric
    assert numeric.shape == (400, 3)  # normal, tail, and the flag of tail
    assert set(numeric[:, 1].tolist()) == {0.0}
    assert set(numeric[:, 2].tolist()) == {1.0}
    with pytest.raises(DataError, match="'normal'"):
        schema.encode(WIDE.select("city"))
    assert schema.encode(WIDE.select("normal")).numeric.shape == (400, 3)
    with pytest.raises(DataError, match="numbers in source 'a' and words in source 'b'"):
        Schema.fit({"a": a, "b": pl.DataFrame({"normal": ["x", "y"]})})


# --- numbers --------------------------------------------------------------------------------------------------------


def test_standardised_as_scikit_learn_does() -> None:
    expected = StandardScaler().fit_transform(WIDE.select("normal").to_numpy())
    np.testing.assert_allclose(numbers(fit(WIDE.select("normal")), WIDE), expected, rtol=1e-5, atol=1e-6)


def test_missing_and_infinite_numbers_are_the_mean_with_a_flag() -> None:
    schema = fit({"x": [1.0, 3.0, None, float("inf"), float("nan")]})
    encoded = numbers(schema, {"x": [1.0, 3.0, None, float("-inf"), float("nan")]})
    assert encoded == [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]


def test_missing_numbers_are_tolerated_although_training_had_none() -> None:
    assert numbers(fit({"x": [1.0, 3.0]}), {"x": [None, 2.0, float("inf")]}) == [[0.0], [0.0], [0.0]]


def test_far_values_end_at_the_clip_without_overflow() -> None:
    schema = fit({"x": [-1.0, 1.0]}, clip=4.0)
    assert numbers(schema, {"x": [-1e308, 1e308, 2.0]}) == [[-4.0], [4.0], [2.0]]


@pytest.mark.parametrize("scale", [1e-300, 1e-10, 1.0, 1e10, 1e300])
@pytest.mark.parametrize("numeric", ["auto", "standard", "quantile"])
def test_any_scale_is_standardised(scale: float, numeric: str) -> None:
    x = np.random.default_rng(1).normal(size=500) * scale
    encoded = np.array(numbers(fit(pl.DataFrame({"x": x}), numeric=numeric), pl.DataFrame({"x": x})))
    assert abs(encoded.mean()) < 1e-5
    assert abs(encoded.std() - 1) < 1e-3


def test_units_do_not_matter() -> None:
    for name in ("normal", "tail", "gaps"):
        x = WIDE.select(pl.col(name).alias("x"))
        other = x.with_columns(pl.col("x") * 1000 - 7)
        for numeric in ("auto", "standard", "quantile"):
            a, b = (numbers(fit(frame, numeric=numeric), frame) for frame in (x, other))
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_heavy_tails_are_tamed_and_light_ones_left_alone() -> None:
    notes = {note.column: note.text for note in Schema.fit(WIDE).notes}
    assert "signed log" in notes["tail"]
    assert "signed log" not in notes["normal"]
    tamed = np.array(numbers(fit(WIDE.select("tail")), WIDE))
    assert np.abs(tamed).max() < 5
    plain = np.array(numbers(fit(WIDE.select("tail"), numeric="standard"), WIDE))
    assert np.abs(plain).max() > 8
    order = np.argsort(WIDE["tail"].to_numpy())
    assert (np.diff(tamed[order, 0]) >= 0).all()


def test_a_rare_one_among_zeros_is_no_heavy_tail() -> None:
    rare = [0] * 99 + [1]
    assert "signed log" not in fit({"x": rare}).notes[0].text
    assert "signed log" in fit({"x": [*rare, 50]}).notes[0].text


def test_signed_log_worked_by_hand() -> None:
    # 3 of 4 values are equal, so the spread is the mean distance to the median: 100 / 20 = 5.
    x = [0.0] * 19 + [100.0]
    z = np.sign(x) * np.log1p(np.abs(np.array(x) / 5.0))
    schema = fit({"x": x})
    np.testing.assert_allclose(np.ravel(numbers(schema, {"x": x})), (z - z.mean()) / z.std(), rtol=1e-6)


def test_normal_scores_are_normal_and_keep_order() -> None:
    schema = fit(WIDE.select("tail"), numeric="quantile")
    z = np.array(numbers(schema, WIDE))[:, 0]
    assert (np.diff(z[np.argsort(WIDE["tail"].to_numpy())]) >= 0).all()
    np.testing.assert_allclose(np.quantile(z, [0.025, 0.5, 0.975]), [-1.96, 0.0, 1.96], atol=0.1)
    assert numbers(schema, {"tail": [1e9]})[0][0] == pytest.approx(z.max())


def test_constants_are_dropped_but_gaps_in_them_are_information() -> None:
    schema = fit({"constant": [2, 2, 2], "gaps": [2.0, None, 2.0], "x": [1, 2, 4]})
    assert schema.names == ("gaps", "x")
    assert [row[:2] for row in numbers(schema, {"gaps": [2.0, None, 3.0], "x": [1, 2, 4]})] == [[0, 0], [0, 1], [1, 0]]
    assert {n.column: n.kind for n in schema.notes}["constant"] == "dropped"


def test_bins_hold_equal_shares_of_the_training_rows() -> None:
    x = np.random.default_rng(3).normal(size=1000)
    frame = pl.DataFrame({"x": x, "few": np.arange(1000) % 2, "gaps": np.where(x > 1, np.nan, x)}, nan_to_null=True)
    schema = fit(frame, bins=4)
    edges = schema.spec.edges
    z = schema.encode(frame).numeric.numpy()
    assert [len(e) for e in edges] == [3, 1, 3, 0]
    assert -1 < edges[1][0] < 1  # between the two values
    np.testing.assert_array_equal(np.bincount(np.digitize(z[:, 0], edges[0])), [250] * 4)
    assert fit(frame).spec.edges == ()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=1, max_size=30),
    st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=1, max_size=5),
    st.sampled_from(["auto", "standard", "quantile"]),
)
def test_any_numbers_become_finite_numbers_within_the_clip(
    train: list[float | None], new: list[float | None], numeric: str
) -> None:
    frame = pl.DataFrame(
        {"x": pl.Series(train, dtype=pl.Float64), "y": np.arange(len(train)) % 2, "z": len(train) * [0]}
    )
    frame = pl.concat([frame, frame.with_columns(pl.lit(1).alias("z"))], how="vertical_relaxed")
    schema = Schema.fit(frame, options=SchemaOptions(numeric=numeric, bins=3))  # type: ignore[arg-type]
    other = pl.DataFrame({"x": pl.Series(new, dtype=pl.Float64), "y": [0] * len(new), "z": [0] * len(new)})
    for table in (frame, other):
        encoded = schema.encode(table).numeric
        assert encoded.isfinite().all()
        assert encoded.abs().max() <= 10
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


# --- categories, truth, dates ---------------------------------------------------------------------------------------


def codes(schema: Schema, values: list[object]) -> list[int]:
    frame = pl.DataFrame({"c": values}, strict=False)
    return schema.encode(frame).categorical[:, 0].tolist()


def test_categories_by_frequency_and_unseen_and_missing() -> None:
    schema = fit({"c": ["b", "b", "a", "a", "a", None]})
    assert codes(schema, ["a", "b", None, "zebra", " a ", "NA"]) == [1, 2, 0, 0, 1, 0]
    assert schema.spec.cardinalities == (3,)


def test_rare_levels_share_a_code_that_unseen_ones_use() -> None:
    schema = fit({"c": ["a"] * 5 + ["b"] * 3 + ["x", "y"]}, min_count=2)
    assert codes(schema, ["a", "b", "x", "y", "zebra", None]) == [1, 2, 3, 3, 3, 0]
    assert schema.spec.cardinalities == (4,)


def test_many_levels_are_cut_with_a_warning() -> None:
    frame = {"c": [f"level {i % 40}" for i in range(400)] + ["level 7"] * 5}
    schema = fit(frame, max_levels=10)
    assert schema.spec.cardinalities == (12,)
    assert codes(schema, ["level 7"]) == [1]
    assert schema.notes[0].warning
    assert "30 rare levels" in schema.notes[0].text


def test_declared_numbers_are_categories_whichever_type_they_come_in() -> None:
    schema = fit({"c": [3, 3, 5, 5, 5]}, categorical=("c",))
    for values in ([3, 5, 9, None], [3.0, 5.0, 9.0, None], ["3", "5", "9", None]):
        assert codes(schema, values) == [2, 1, 0, 0]


def test_polars_categories() -> None:
    frame = pl.DataFrame({"c": pl.Series(["u", "v", "u", "v"], dtype=pl.Categorical)})
    assert codes(Schema.fit(frame), ["u", "v"]) == [1, 2]


def test_truth_values_are_signs() -> None:
    schema = fit({"b": [True, False, None]})
    assert numbers(schema, {"b": [True, False, None]}) == [[1, 0], [-1, 0], [0, 1]]
    assert numbers(schema, {"b": [1, 0, None]}) == [[1, 0], [-1, 0], [0, 1]]
    assert numbers(schema, {"b": ["TRUE", "false", ""]}) == [[1, 0], [-1, 0], [0, 1]]


def test_dates_are_elapsed_time_and_hands_of_a_clock() -> None:
    days = [datetime(2020, 1, 6, 6), datetime(2020, 1, 7, 12), datetime(2020, 1, 8, 18), None]  # Monday to Wednesday
    schema = fit({"d": days})
    encoded = np.array(numbers(schema, {"d": days}))
    assert encoded.shape == (4, 6)  # elapsed; sine and cosine of weekday and hour; flag; the month did not vary
    np.testing.assert_allclose(encoded[:3, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    turn = 2 * np.pi * (1 + 0.0) / 7  # Tuesday
    np.testing.assert_allclose(encoded[1, 1:3], [np.sin(turn), np.cos(turn)], atol=1e-6)
    np.testing.assert_allclose(encoded[:3, 3:5], [[1, 0], [0, -1], [-1, 0]], atol=1e-6)  # 6, 12 and 18 o'clock
    np.testing.assert_array_equal(encoded[3], [0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(numbers(schema, {"d": ["2020-01-07 12:00:00"]})[0], encoded[1], atol=1e-6)


def test_dates_of_any_type_give_the_same_numbers() -> None:
    days = [date(2020, 1, 1), date(2020, 6, 1), date(2021, 1, 1)]
    schema = fit({"d": days})
    for frame in (pl.DataFrame({"d": days}).with_columns(pl.col("d").cast(pl.Datetime("ns", "UTC"))),
                  pl.DataFrame({"d": [str(day) for day in days]})):  # fmt: skip
        np.testing.assert_allclose(numbers(schema, frame), numbers(schema, {"d": days}))


# --- refused and dropped --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "new", "message"),
    [
        ([1.0, 2.0], ["1", "two"], "column 'v', row 2: expected a number, found 'two'"),
        ([1.0, 2.0], [date(2020, 1, 1)], "expected numbers, found the type Date"),
        ([True, False], [True, None, 2], "row 3: expected true or false, found 2"),
        ([True, False], ["yes"], "row 1: expected true or false, found 'yes'"),
        ([date(2020, 1, 1), date(2021, 1, 1)], ["2020-01-01", "soon"], "row 2: expected a date, found 'soon'"),
        ([date(2020, 1, 1), date(2021, 1, 1)], [5.0], "expected dates, found the type Float64"),
        (["a", "a", "b", "b"], [["a"]], "expected categories, found the type List"),
    ],
)
def test_values_of_another_type_are_explained(train: list[object], new: list[object], message: str) -> None:
    schema = fit({"v": train})
    frame = pl.DataFrame({"v": new}, strict=not isinstance(new[0], bool))
    if frame["v"].dtype == pl.Boolean:
        frame = pl.DataFrame({"v": [1, None, 2]})
    with pytest.raises(DataError, match=message):
        schema.encode(frame)


def test_free_text_is_refused_with_advice() -> None:
    text = [f"the patient number {i} feels rather well today" for i in range(50)]
    with pytest.raises(DataError, match=r"column 'note': this column is free text .*\n.*exclude=\['note'\]"):
        fit({"note": text, "x": list(range(50))})


def test_words_among_numbers_are_refused_in_frames_too() -> None:
    with pytest.raises(DataError, match="column 'x', row 8: expected a number, found 'eight'"):
        fit({"x": ["1", "2", "3", "4", "5", "6", "7", "eight"]})


def test_nested_columns_are_refused() -> None:
    with pytest.raises(DataError, match="List"):
        fit({"x": [[1], [2]]})


@pytest.mark.parametrize(
    "identifier", [list(range(500, 700)), [7 * i + (i % 5) for i in range(200)], [f"P-{i}" for i in range(200)],
                   np.random.default_rng(0).permutation(200).tolist()]
)  # fmt: skip
def test_identifiers_are_dropped_with_a_note_unless_they_are_asked_for(identifier: list[object]) -> None:
    frame = pl.DataFrame({"id": identifier, "x": np.random.default_rng(0).normal(size=200)})
    schema = Schema.fit(frame)
    assert schema.names == ("x",)
    assert "identifier" in schema.notes[0].text
    assert schema.notes[0].warning
    if isinstance(identifier[0], int):
        assert Schema.fit(frame, features=["id", "x"]).names == ("id", "x")


def test_distinct_measurements_are_no_identifiers() -> None:
    income = np.random.default_rng(0).choice(100_000, 200, replace=False)
    assert Schema.fit(pl.DataFrame({"income": income})).names == ("income",)


@pytest.mark.parametrize(
    "wrong", [{"bins": 1}, {"clip": 0.0}, {"max_levels": 0}, {"numeric": "robust"}, {"categorical": "c"}]
)
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SchemaOptions(**wrong)  # type: ignore[arg-type]
