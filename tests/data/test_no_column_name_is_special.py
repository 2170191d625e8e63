"""Columns may be called what the library calls its own."""

import polars as pl
import pytest

from polytask.data.division import split
from polytask.data.schema import Schema
from polytask.data.splits.group import Group
from polytask.data.splits.stratified import Stratified
from polytask.data.splits.time import Time


@pytest.mark.parametrize("name", ["rows", "count", "n", "len", "level", "code", "time", "index", "literal"])
def test_as_feature_stratum_group_and_time(name):
    words = pl.DataFrame({name: ["a", "b", "c", "b"] * 10})
    assert Schema.fit(words).spec.cardinalities == (4,)  # missing, a, b, c
    strata = split(words, Stratified(column=name), seed=0)
    assert words[name][strata["test"]].value_counts(name="how often").height == 3
    groups = split(words, Group(column=name), seed=0)
    assert not set(words[name][groups["train"]]) & set(words[name][groups["test"]])
    assert split(words.with_columns(pl.int_range(40).alias(name)), Time(column=name), seed=0)["test"].tolist() == list(
        range(32, 40)
    )
