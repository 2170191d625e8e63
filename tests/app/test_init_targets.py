"""Columns to predict whose names hold a comma."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from people_table import Polytask, people


def test_a_column_with_a_comma_is_named_by_a_flag_of_its_own(place: Path, polytask: Polytask) -> None:
    people().rename({"spend": "spend, net"}).write_csv("people.csv")
    result = polytask("init", "people.csv", "--targets", "spend, net", "--targets", "churn,grade", "--out", "new.yaml")
    assert result.code == 0, result.err
    assert [line.split(":")[0] for line in result.err.splitlines()[:3]] == ["spend, net", "churn", "grade"]
    assert polytask("check", "new.yaml").code == 0


def test_one_flag_is_a_list_as_ever(place: Path, polytask: Polytask) -> None:
    result = polytask("init", "people.csv", "--targets", "spend, churn,spend", "--out", "new.yaml")
    assert result.code == 0, result.err
    assert [line.split(":")[0] for line in result.err.splitlines()[:2]] == ["spend", "churn"]
    unknown = polytask("init", "people.csv", "--targets", "spend, chrun", "--out", "other.yaml")
    assert unknown.code == 2
    assert "churn" in unknown.err
    assert polytask("init", "people.csv", "--targets", " , ", "--out", "other.yaml").code == 2


def test_counts_of_one_are_singular(place: Path, polytask: Polytask) -> None:
    polytask("train", "c.yaml", "--run", "r", "--no-report", "--set", "training.epochs=1")
    pl.read_csv("people.csv")[:1].write_csv("one.csv")
    assert "1 row," in polytask("predict", "r", "one.csv", "--out", "found.csv").err
