"""Batches by a budget of tokens: every row once, no budget broken, little padding, the same for the same seed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.data.sampling import SAMPLERS
from polytask.data.sampling.proportional import Proportional
from polytask.data.sampling.uniform import Uniform
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.data.token_batches import TokenBatches
from polytask.errors import ConfigError, DataError
from polytask.tokens.words import WordTokenizer


def table_of(*lengths: list[int], window: int = 512) -> Table:
    frames = {f"s{i}": pl.DataFrame({"words": [["x"] * n for n in own]}) for i, own in enumerate(lengths)}
    return Table.encode(frames, TextSchema.fit(frames, WordTokenizer(window=window)), [])


def drawn(count: int, seed: int = 0) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).geometric(0.08, count)]


def rows_of(batches: TokenBatches, epoch: int, start: int = 0) -> list[list[int]]:
    return [rows.tolist() for rows, _ in batches.rows(epoch, start)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 5))
def test_an_epoch_visits_every_row_once_within_the_budget(lengths: list[int], budget: int, most: int) -> None:
    table = table_of(lengths)
    found = rows_of(TokenBatches(table, Proportional(mixed=True), budget, seed=1, epochs=2, batch_size=most), 1)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    for rows in found:
        padded = len(rows) * max(1, *(lengths[row] for row in rows))
        assert padded <= budget or len(rows) == 1
        assert not most or len(rows) <= most


def test_little_is_padding() -> None:
    lengths = drawn(3000)
    batches = TokenBatches(table_of(lengths), Proportional(), 1000, seed=0, epochs=1)
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in rows_of(batches, 0))
    assert sum(lengths) <= padded < 1.1 * sum(lengths)
    steps = len(rows_of(batches, 0))
    assert steps == batches.steps == pytest.approx(padded / 1000, rel=0.05)


def test_a_batch_has_no_more_tokens_than_it_was_cut_for() -> None:
    table = table_of([3, 700, 5, 2, 1300, 40], window=128)
    batches = TokenBatches(table, Proportional(), 512, seed=0, epochs=1)
    for batch in batches.epoch(0):
        assert batch.inputs.mask is not None
        assert batch.inputs.mask.numel() <= 512 or len(batch) == 1


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_sampler_repeats_itself_and_can_start_anywhere(name: str, mixed: bool) -> None:
    table = table_of(drawn(120), drawn(50, 1), drawn(9, 2))
    sampler = SAMPLERS.build({"name": name, "mixed": mixed})

    def made(seed: int) -> TokenBatches:
        return TokenBatches(table, sampler, 150, seed=seed, epochs=4)

    first = rows_of(made(3), 2)
    assert first == rows_of(made(3), 2)
    assert first != rows_of(made(4), 2)
    assert first != rows_of(made(3), 3)
    assert rows_of(made(3), 2, start=5) == first[5:]
    for rows, source in made(3).rows(2):
        assert (source is None) == mixed
        if source is not None:
            assert all(row in table.sources[source] for row in rows.tolist())


def test_shares_are_those_of_the_sampler() -> None:
    table = table_of([5] * 300, [5] * 100)
    for mixed in (True, False):
        found = rows_of(TokenBatches(table, Uniform(mixed=mixed), 100, seed=0, epochs=1), 0)
        small = sum(row >= 300 for rows in found for row in rows)
        assert small == 200
        counts = np.bincount([row for rows in found for row in rows], minlength=400)[300:]
        assert set(counts.tolist()) == {2}  # whole passes


@pytest.mark.parametrize("mixed", [True, False])
def test_processes_have_equally_many_batches_and_no_row_twice(mixed: bool) -> None:
    table = table_of(drawn(101), drawn(37, 1))
    world = 3
    shards = [
        TokenBatches(table, Proportional(mixed=mixed), 90, seed=0, epochs=1, rank=rank, world=world)
        for rank in range(world)
    ]
    found = [list(shard.rows(0)) for shard in shards]
    assert len({len(own) for own in found}) == 1
    for together in zip(*found, strict=True):
        assert len({source for _, source in together}) == 1
    rows = sorted(row for own in found for batch, _ in own for row in batch.tolist())
    assert rows == list(range(138))


def test_views_have_the_lengths_of_their_rows() -> None:
    table = table_of([1] * 50 + [100] * 50).take(np.arange(40, 60))
    found = rows_of(TokenBatches(table, Proportional(), 100, seed=0, epochs=1), 0)
    assert sorted(map(len, found)) == [1] * 10 + [10]


def test_impossible_budgets_are_refused() -> None:
    table = table_of([2], [3, 4])
    with pytest.raises(ConfigError, match="batch_tokens: expected at least 1, found 0"):
        TokenBatches(table, Proportional(), 0, seed=0, epochs=1)
    with pytest.raises(ConfigError, match="batch_size: expected 0 or more"):
        TokenBatches(table, Proportional(), 5, seed=0, epochs=1, batch_size=-1)
    with pytest.raises(DataError, match=r"source 's0': 1 rows? for 2 processes"):
        TokenBatches(table, Proportional(), 5, seed=0, epochs=1, world=2)
