"""Coverage, determinism, resumption and sharding of the batches, for every sampler."""

from itertools import chain

import numpy as np
import pytest
import torch

from polytask.batch import Inputs, Targets
from polytask.data.batches import Batches
from polytask.data.sampling import SAMPLERS
from polytask.data.sampling.proportional import Proportional
from polytask.data.sampling.sampler import Sampler
from polytask.data.sampling.uniform import Uniform
from polytask.data.table import Table
from polytask.errors import ConfigError, DataError


def table_of(*sizes: int) -> Table:
    """A table whose only number is the row number."""
    rows = torch.arange(sum(sizes), dtype=torch.float32)[:, None]
    ends = np.cumsum(sizes).tolist()
    sources = {f"s{i}": range(end - size, end) for i, (end, size) in enumerate(zip(ends, sizes, strict=True))}
    codes = torch.empty(len(rows), 0, dtype=torch.int64)
    return Table(Inputs(rows, codes), Targets(rows.clone(), {"y": slice(0, 1)}), sources)


def rows_of(batches: Batches, epoch: int, start: int = 0) -> list[list[int]]:
    return [batch.inputs.numeric[:, 0].long().tolist() for batch in batches.epoch(epoch, start)]


def flat(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))
both_kinds = pytest.mark.parametrize("mixed", [False, True])


def sampler_of(name: str, mixed: bool) -> Sampler:
    return SAMPLERS.build({"name": name, "mixed": mixed})


@every_sampler
@both_kinds
def test_one_source_is_one_shuffled_pass_an_epoch(name: str, mixed: bool) -> None:
    batches = Batches(table_of(103), sampler_of(name, mixed), 10, seed=3, epochs=4)
    seen = [flat(rows_of(batches, epoch)) for epoch in range(4)]
    assert batches.steps == 11
    for epoch in seen:
        assert sorted(epoch) == list(range(103))
    assert len({tuple(epoch) for epoch in seen}) == 4


@every_sampler
@both_kinds
def test_an_epoch_can_begin_at_any_step(name: str, mixed: bool) -> None:
    batches = Batches(table_of(37, 11, 5), sampler_of(name, mixed), 4, seed=1, epochs=3)
    for epoch in (0, 2):
        whole = rows_of(batches, epoch)
        assert len(whole) == batches.steps
        for start in range(batches.steps + 1):
            assert rows_of(batches, epoch, start) == whole[start:]


@every_sampler
@both_kinds
def test_same_seed_same_batches_and_other_seed_other_batches(name: str, mixed: bool) -> None:
    def rows(seed: int) -> list[list[int]]:
        return rows_of(Batches(table_of(40, 20), sampler_of(name, mixed), 8, seed=seed, epochs=2), 1)

    assert rows(5) == rows(5)
    assert rows(5) != rows(6)


@every_sampler
@both_kinds
def test_over_epochs_no_row_of_a_source_is_a_pass_ahead_of_another(name: str, mixed: bool) -> None:
    sizes = (37, 11, 5)
    batches = Batches(table_of(*sizes), sampler_of(name, mixed), 4, seed=1, epochs=7)
    counts = np.zeros(sum(sizes), int)
    for epoch in range(7):
        for row in flat(rows_of(batches, epoch)):
            counts[row] += 1
        for span in batches.table.sources.values():
            assert np.ptp(counts[span.start : span.stop]) <= 1


@every_sampler
@both_kinds
def test_processes_share_the_source_and_divide_the_rows(name: str, mixed: bool) -> None:
    table, world = table_of(41, 16), 3
    alone = Batches(table, sampler_of(name, mixed), 6, seed=2, epochs=2)
    shards = [Batches(table, sampler_of(name, mixed), 2, seed=2, epochs=2, rank=r, world=world) for r in range(world)]
    assert {shard.steps for shard in shards} == {alone.steps}
    for step, parts in zip(alone.rows(1), zip(*(shard.rows(1) for shard in shards), strict=True), strict=True):
        assert {source for _, source in parts} == {step[1]}
        assert all(len(rows) for rows, _ in parts)
        together = sorted(flat([rows.tolist() for rows, _ in parts]))
        assert together == sorted(step[0].tolist())


def test_a_last_step_with_fewer_rows_than_processes_is_left_out() -> None:
    shards = [Batches(table_of(13), Proportional(), 2, seed=0, epochs=1, rank=r, world=3) for r in range(3)]
    assert [shard.steps for shard in shards] == [2, 2, 2]
    assert [len(flat(rows_of(shard, 0))) for shard in shards] == [4, 4, 4]


@both_kinds
def test_proportional_sees_every_row_of_every_source_once_an_epoch(mixed: bool) -> None:
    batches = Batches(table_of(40, 20, 8), Proportional(mixed=mixed), 4, seed=0, epochs=3)
    assert batches.steps == 17
    for epoch in range(3):
        assert sorted(flat(rows_of(batches, epoch))) == list(range(68))


def test_batches_of_one_source_carry_its_name_and_mixed_ones_none() -> None:
    table = table_of(30, 30)
    for batch in Batches(table, Uniform(), 7, seed=0, epochs=1).epoch(0):
        span = table.sources[batch.source or ""]
        assert all(int(row) in span for row in batch.inputs.numeric[:, 0])
    mixed = list(Batches(table, Uniform(mixed=True), 30, seed=0, epochs=1).epoch(0))
    assert [batch.source for batch in mixed] == [None, None]
    assert all(0 < (batch.inputs.numeric < 30).sum() < 30 for batch in mixed)


def test_uniform_cycles_the_small_source() -> None:
    batches = Batches(table_of(1000, 10), Uniform(), 10, seed=0, epochs=1)
    assert batches.steps == 101  # as many as both have batches
    sources = [source for _, source in batches.rows(0)]
    assert abs(sources.count("s0") - sources.count("s1")) == 1
    counts = np.bincount(flat(rows_of(batches, 0)), minlength=1010)
    assert counts[:1000].max() == 1
    assert set(counts[1000:]) == {sources.count("s1")}


def test_round_robin_takes_the_sources_in_turn() -> None:
    batches = Batches(table_of(9, 30, 3), SAMPLERS.build("round_robin"), 3, seed=0, epochs=1)
    assert [source for _, source in batches.rows(0)] == ["s0", "s1", "s2"] * 4 + ["s0", "s1"]


@both_kinds
def test_steps_can_be_set_and_short_batches_left_out(mixed: bool) -> None:
    table = table_of(25)
    assert [len(r) for r in rows_of(Batches(table, Uniform(mixed=mixed), 10, 0, 1, drop_last=True), 0)] == [10, 10]
    many = Batches(table, Uniform(mixed=mixed), 10, 0, 1, steps_per_epoch=7)
    assert many.steps == len(rows_of(many, 0)) == 7
    tiny = Batches(table_of(3), Uniform(mixed=mixed), 10, 0, 1, drop_last=True)
    assert [len(r) for r in rows_of(tiny, 0)] == [3]


@both_kinds
def test_one_row_is_enough(mixed: bool) -> None:
    assert rows_of(Batches(table_of(1), Uniform(mixed=mixed), 256, 0, 1), 0) == [[0]]


def test_training_can_be_prolonged_beyond_its_planned_end() -> None:
    batches = Batches(table_of(50, 5), SAMPLERS.build("annealed"), 5, seed=0, epochs=2)
    assert len(rows_of(batches, 5)) == batches.steps


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"epochs": 0}, {"steps_per_epoch": 0}, {"seed": -1}, {"rank": 2, "world": 2}]
)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Batches(table_of(5), Uniform(), **({"batch_size": 2, "seed": 0, "epochs": 1} | wrong))  # type: ignore[arg-type]


def test_fewer_rows_than_processes_are_refused() -> None:
    with pytest.raises(DataError, match="1 row for 2 processes"):
        Batches(table_of(5, 1), Uniform(), 2, 0, 1, world=2)
