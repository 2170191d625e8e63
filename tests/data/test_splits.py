"""Laws of every split, and what each one promises on top."""

import itertools
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import polytask.data.splits as package
from polytask.data.division import split
from polytask.data.splits import SPLITS
from polytask.data.splits.group import Group
from polytask.data.splits.random import Random
from polytask.data.splits.split import Split, sizes_of
from polytask.data.splits.stratified import Stratified
from polytask.data.splits.time import Time
from polytask.errors import ConfigError, DataError


def frame_of(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(rows)
    return pl.DataFrame(
        {
            "x": rng.normal(size=rows),
            "class": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
            "person": rng.integers(0, max(rows // 5, 3), rows),
            "day": [date(2020, 1, 1) + timedelta(days=int(d)) for d in rng.permutation(rows)],
        }
    )


COLUMN = {"stratified": "class", "group": "person", "time": "day"}


def split_of(name: str, **shares: float) -> Split:
    column = {"column": COLUMN[name]} if name in COLUMN else {}
    return SPLITS.build({"name": name, **column, **shares})


every_split = pytest.mark.parametrize("name", list(SPLITS))


def test_the_catalogue_lists_the_folder() -> None:
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__", "split"}
    assert files == set(SPLITS), "add the import and a line to SPLITS in splits/__init__.py"


@every_split
def test_every_row_is_in_exactly_one_part_in_about_its_share(name: str) -> None:
    frame = frame_of(1000)
    parts = split(frame, split_of(name), seed=0)
    assert list(parts) == ["train", "validation", "test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(1000))
    for rows, goal in zip(parts.values(), (650, 150, 200), strict=True):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
        assert abs(len(rows) - goal) <= (12 if name == "group" else 0)


@every_split
def test_the_seed_decides(name: str) -> None:
    frame = frame_of(300)
    first, again, other = (split(frame, split_of(name), seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert (first == other) == (name == "time")


@every_split
def test_a_lazy_table_is_split_alike(name: str) -> None:
    frame = frame_of(200)
    for part, rows in split(frame.lazy(), split_of(name), seed=4).items():
        np.testing.assert_array_equal(rows, split(frame, split_of(name), seed=4)[part])


@every_split
def test_a_part_without_a_share_is_empty_and_no_error(name: str) -> None:
    parts = split(frame_of(60), split_of(name, validation=0.0), seed=0)
    assert len(parts["validation"]) == 0
    assert len(parts["test"]) in range(8, 17)


@every_split
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_rows_are_an_error(name: str, rows: int) -> None:
    with pytest.raises(DataError):
        split(frame_of(10)[:rows], split_of(name), seed=0)


@pytest.mark.parametrize("name", list(COLUMN))
def test_a_misspelt_column_is_named(name: str) -> None:
    with pytest.raises(DataError, match=r"no column 'persons'.*\n.*Did you mean 'person'"):
        split(frame_of(50), SPLITS.build({"name": name, "column": "persons"}), seed=0)
    with pytest.raises(ConfigError, match="name of a column"):
        split(frame_of(50), SPLITS.build(name), seed=0)


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave none"):
        Random(validation=0.5, test=0.5)
    with pytest.raises(ConfigError, match=r"split\.test"):
        Random(test=-0.1)


def test_sizes_are_the_largest_remainders() -> None:
    assert sizes_of(10, (0.65, 0.15, 0.2)) == [7, 1, 2]  # 6.5, 1.5, 2: the tie goes to the first
    assert sizes_of(3, (1 / 3, 1 / 3, 1 / 3)) == [1, 1, 1]
    assert sum(sizes_of(7, (0.7, 0.1, 0.2))) == 7


def test_stratified_parts_have_the_mixture_of_the_table() -> None:
    frame = frame_of(1000)
    parts = split(frame, Stratified(column="class"), seed=0)
    for level in "abc":
        member = (frame["class"] == level).to_numpy()
        for rows, share in zip(parts.values(), (0.65, 0.15, 0.2), strict=True):
            assert abs(member[rows].sum() - share * member.sum()) <= 2


def test_stratified_numbers_have_the_same_deciles_and_missing_values_are_a_class() -> None:
    frame = frame_of(1000).with_columns(pl.when(pl.col("class") == "c").then(None).otherwise("x").alias("x"))
    missing = frame["x"].is_null().to_numpy()
    parts = split(frame, Stratified(column="x"), seed=0)
    assert abs(missing[parts["test"]].mean() - missing.mean()) < 0.01
    means = [frame["x"].to_numpy()[rows][~missing[rows]].mean() for rows in parts.values()]
    assert np.ptp(means) < 0.1  # at random: standard error of a part about 0.08


def test_a_class_with_one_row_cannot_be_stratified() -> None:
    frame = pl.DataFrame({"class": ["a"] * 20 + ["rare"]})
    with pytest.raises(DataError, match="'rare' has a single row"):
        split(frame, Stratified(column="class"), seed=0)


def test_no_group_is_on_two_sides_and_rows_without_one_stand_alone() -> None:
    frame = frame_of(500).with_columns(pl.when(pl.col("person") < 20).then(None).otherwise("person").alias("person"))
    parts = split(frame, Group(column="person"), seed=1)
    people = [
        set(frame["person"].to_numpy()[rows][~np.isnan(frame["person"].to_numpy()[rows])]) for rows in parts.values()
    ]
    assert not any(a & b for a, b in itertools.combinations(people, 2))
    assert all(frame["person"][rows.tolist()].null_count() > 0 for rows in parts.values())


def test_two_groups_cannot_fill_three_parts() -> None:
    with pytest.raises(DataError, match="at least 3 groups"):
        split(pl.DataFrame({"g": [1, 2] * 10}), Group(column="g"), seed=0)
    parts = split(pl.DataFrame({"g": [1, 2] * 10}), Group(column="g", validation=0.0), seed=0)
    assert len(parts["train"]) == len(parts["test"]) == 10


def test_the_future_judges_and_equal_times_stay_together() -> None:
    frame = frame_of(400).with_columns(pl.col("day").dt.truncate("1w"))
    parts = split(frame, Time(column="day"), seed=0)
    days = frame["day"]
    train, validation, test = (days[rows.tolist()] for rows in parts.values())
    assert train.max() < validation.min()  # type: ignore[operator]  # dates
    assert validation.max() < test.min()  # type: ignore[operator]


def test_missing_times_and_words_are_refused() -> None:
    with pytest.raises(DataError, match="row 2"):
        split(pl.DataFrame({"t": [1.0, float("nan"), 3.0]}), Time(column="t"), seed=0)
    with pytest.raises(DataError, match="dates or numbers"):
        split(pl.DataFrame({"t": ["x", "y", "z"]}), Time(column="t"), seed=0)
