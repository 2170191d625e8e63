"""Beijing air quality: six pollutants at twelve stations, every hour for four years, gaps included."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.tasks.regression import Regression

POLLUTANTS = {"PM2.5": "pm2_5", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
WEATHER = {
    "TEMP": "temperature",
    "PRES": "pressure",
    "DEWP": "dew_point",
    "RAIN": "rain",
    "wd": "wind_direction",
    "WSPM": "wind_speed",
}
FEATURES = ("year", "month", "day", "hour", "weekday", "station", *WEATHER.values())
TASKS = tuple(Regression(name) for name in POLLUTANTS.values())

ARCHIVE = "PRSA2017_Data_20130301-20170228.zip"


def tables(path: Path) -> pl.DataFrame:
    """The rows of all stations: twelve CSV files in the official archive, or one CSV file."""
    if path.suffix != ".zip":
        return read_csv(path)
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".csv"))
        return pl.concat([read_csv(archive.read(name)) for name in names])


def read_csv(source: Path | bytes) -> pl.DataFrame:
    """One table with its gaps; measured values are floats."""
    measured = [c for c in (*POLLUTANTS, *WEATHER) if c != "wd"]
    return pl.read_csv(source, null_values="NA", schema_overrides=dict.fromkeys(measured, pl.Float64))


def read(files: Mapping[str, Path]) -> Dataset:
    """All hours at all stations."""
    time = pl.datetime("year", "month", "day", "hour")
    frame = (
        tables(files[ARCHIVE])
        .rename(POLLUTANTS | WEATHER)
        .with_columns(time.alias("time"), time.dt.weekday().alias("weekday"))
        .select("time", *FEATURES, *POLLUTANTS.values())
    )
    return Dataset("beijing", frame, TASKS, FEATURES, ORIGIN, group="station", time="time")


ORIGIN = Origin(
    name="beijing",
    title="Beijing air quality 2013-2017: six pollutants at twelve stations, hourly",
    source="UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/501/beijing+multi+site+air+quality+data",
    licence="CC BY 4.0 (UCI)",
    attribution="S. Zhang, B. Guo, A. Dong, J. He, Z. Xu, S. X. Chen. Cautionary tales on air-quality improvement in "
    "Beijing. Proceedings of the Royal Society A 2017.",
    collection="China, 3/2013 to 2/2017: twelve state-controlled stations and the weather stations next to them.",
    notes=(
        "Split by `time`: neighbouring hours are nearly copies of each other, so a random split flatters every model.",
        "The pollutants are targets only; none is a feature of another. Past values are not made into features.",
    ),
)

ENTRY = Remote(
    ORIGIN,
    (
        File(
            ARCHIVE,
            f"https://archive.ics.uci.edu/ml/machine-learning-databases/00501/{ARCHIVE}",
            None,
            (
                Copy(
                    "beijing_air_quality/beijing_prsa.csv.gz",
                    "dfdf1fe858a7d23a172d5c3d5f1212662bde213921b9adbc32c744515c119df2",
                ),
            ),
        ),
    ),
    read,
)
