"""Encoded tables: the same rows in memory and mapped, in any order, for any subset of labels."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from polytask.data.pieces import pieces, sample
from polytask.data.schema import Schema
from polytask.data.table import PARTS, Table, layout_of
from polytask.errors import DataError, RunError
from polytask.tasks.binary import Binary
from polytask.tasks.regression import Regression
from polytask.tasks.task import Target

RNG = np.random.default_rng(0)
N = 500
FRAME = pl.DataFrame(
    {
        "x": RNG.normal(size=N),
        "c": RNG.choice(["a", "b", "c"], N),
        "price": np.where(RNG.random(N) < 0.3, np.nan, RNG.normal(size=N)),
        "sold": RNG.integers(0, 2, N),
        "weight": RNG.normal(size=N) * 9 + 4,
    },
    nan_to_null=True,
)
TASKS = (Regression("price"), Binary("sold"), Regression("weight"))
SCHEMA = Schema.fit(FRAME, exclude=["price", "sold", "weight"])
TARGETS: list[Target] = [task.fit(FRAME.select(task.columns)) for task in TASKS]


def mapped(frames: dict[str, pl.DataFrame | pl.LazyFrame], folder: Path) -> Table:
    return Table.encode(frames, SCHEMA, TARGETS, storage=folder)


def test_targets_of_equal_signature_lie_side_by_side() -> None:
    table = Table.encode({"all": FRAME}, SCHEMA, TARGETS)
    assert list(layout_of(TARGETS)) == ["price", "weight", "sold"]
    block = table.targets.block(("price", "weight"))
    assert block.shape == (N, 2, 1)
    assert block.untyped_storage().data_ptr() == table.targets.values.untyped_storage().data_ptr()


def test_labels_are_those_of_the_targets_with_nan_where_missing() -> None:
    table = Table.encode({"all": FRAME}, SCHEMA, TARGETS)
    for target in TARGETS:
        expected = target.encode(FRAME.select(target.task.columns))
        torch.testing.assert_close(table.labels(target.task.name), expected, equal_nan=True)
    assert table.labelled_counts() == {"price": N - FRAME["price"].null_count(), "weight": N, "sold": N}


def test_memory_mapped_rows_are_the_rows_in_memory(tmp_path: Path) -> None:
    frames = {"a": FRAME[:300], "b": FRAME[300:].drop("price")}
    held = Table.encode(frames, SCHEMA, TARGETS)
    stored = mapped({"a": frames["a"].lazy(), "b": frames["b"]}, tmp_path)
    rows = torch.from_numpy(np.random.default_rng(1).permutation(N))
    for table in (stored, Table.open(tmp_path)):
        assert table.sources == held.sources == {"a": range(300), "b": range(300, 500)}
        a, b = table.batch(rows, "a"), held.batch(rows, "a")
        assert torch.equal(a.inputs.numeric, b.inputs.numeric)
        assert torch.equal(a.inputs.categorical, b.inputs.categorical)
        assert a.inputs.categorical.dtype == torch.int64
        torch.testing.assert_close(a.targets.values, b.targets.values, equal_nan=True)
        assert a.source == "a"
        assert table.labelled_counts() == held.labelled_counts()
    assert held.labels("price")[300:].isnan().all()


def test_writing_into_a_mapped_batch_leaves_the_file_alone(tmp_path: Path) -> None:
    table = mapped({"all": FRAME}, tmp_path)
    before = (tmp_path / "targets.npy").read_bytes()
    table.targets.values.zero_()
    assert (tmp_path / "targets.npy").read_bytes() == before


def test_many_pieces_make_one_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = Table.encode({"all": FRAME}, SCHEMA, TARGETS)
    monkeypatch.setattr("polytask.data.table.PIECE", 37)
    for frame in (FRAME, FRAME.lazy()):
        parts = mapped({"all": frame}, tmp_path)
        assert torch.equal(parts.inputs.numeric, whole.inputs.numeric)
        torch.testing.assert_close(parts.targets.values, whole.targets.values, equal_nan=True)


def test_taking_is_a_view_and_taking_again_composes() -> None:
    table = Table.encode({"a": FRAME[:300], "b": FRAME[300:]}, SCHEMA, TARGETS)
    first = table.take(np.arange(0, N, 2))
    assert first.inputs.numeric.data_ptr() == table.inputs.numeric.data_ptr()
    assert (len(first), first.sources) == (250, {"a": range(150), "b": range(150, 250)})
    second = first.take(torch.arange(200, 210))
    assert second.sources == {"b": range(10)}
    expected = table.inputs.numeric[torch.arange(400, 420, 2)]
    assert torch.equal(second.batch(torch.arange(10)).inputs.numeric, expected)
    assert torch.equal(second.labels("weight"), table.labels("weight")[400:420:2])
    assert sum(len(batch) for batch in first.in_order(64)) == 250
    with pytest.raises(DataError, match="different sources are mixed"):
        table.take(np.array([400, 3]))


def test_in_order_gives_every_row_once() -> None:
    table = Table.encode({"all": FRAME}, SCHEMA, TARGETS)
    batches = list(table.in_order(128))
    assert [len(batch) for batch in batches] == [128, 128, 128, 116]
    assert torch.equal(torch.cat([batch.inputs.numeric for batch in batches]), table.inputs.numeric)


def test_by_length_is_in_order_where_rows_have_no_length() -> None:
    table = Table.encode({"all": FRAME}, SCHEMA, TARGETS).take(np.arange(0, N, 3))
    for (rows, batch), plain in zip(table.by_length(50), table.in_order(50), strict=True):
        assert torch.equal(batch.inputs.numeric, plain.inputs.numeric)
        assert torch.equal(batch.inputs.numeric, table.batch(rows).inputs.numeric)


def test_no_categories_no_targets_one_row(tmp_path: Path) -> None:
    schema = Schema.fit(FRAME.select("x"))
    for storage in (None, tmp_path):
        table = Table.encode({"one": FRAME[:1]}, schema, [], storage=storage)
        batch = table.batch(torch.tensor([0]))
        assert (batch.inputs.numeric.shape, batch.inputs.categorical.shape) == ((1, 1), (1, 0))
        assert batch.targets.values.shape == (1, 0)
        assert table.labelled_counts() == {}


def test_wrong_tables_are_explained() -> None:
    with pytest.raises(DataError, match=r"source 'b': .*no rows"):
        Table.encode({"a": FRAME, "b": FRAME[:0]}, SCHEMA, TARGETS)
    with pytest.raises(DataError, match="source 'b': 1 of 2 feature columns are missing: 'x'"):
        Table.encode({"a": FRAME, "b": FRAME.drop("x")}, SCHEMA, TARGETS)
    wrong = FRAME.with_columns(pl.lit("tall").alias("x"))
    with pytest.raises(DataError, match="column 'x', row 1: expected a number, found 'tall'"):
        Table.encode({"a": wrong}, SCHEMA, TARGETS)


def test_row_numbers_count_from_the_start_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polytask.data.table.PIECE", 100)
    words = FRAME["x"].cast(pl.String).to_list()
    words[342] = "tall"
    with pytest.raises(DataError, match="row 343"):
        Table.encode({"a": FRAME.with_columns(pl.Series("x", words))}, SCHEMA, TARGETS)


def test_half_of_a_vector_target_is_an_error() -> None:
    task = Regression("both", columns=("price", "weight"))
    target = task.fit(FRAME.select("price", "weight"))
    with pytest.raises(DataError, match=r"target columns \['weight'\] are missing"):
        Table.encode({"a": FRAME.drop("weight")}, SCHEMA, [target])
    assert Table.encode({"a": FRAME.drop("weight", "price")}, SCHEMA, [target]).labels("both").isnan().all()


def test_an_incomplete_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no complete table"):
        Table.open(tmp_path)
    mapped({"all": FRAME}, tmp_path)
    for part in PARTS:
        content = (tmp_path / f"{part}.npy").read_bytes()
        (tmp_path / f"{part}.npy").write_bytes(content[:-100])
        with pytest.raises(RunError, match="no complete table"):
            Table.open(tmp_path)
        (tmp_path / f"{part}.npy").write_bytes(content)
    with pytest.raises(DataError):  # an encoding that fails leaves no table behind
        Table.encode({"all": FRAME.drop("x")}, SCHEMA, TARGETS, storage=tmp_path)
    with pytest.raises(RunError, match="no complete table"):
        Table.open(tmp_path)


def test_pieces_and_samples_of_lazy_tables_are_those_of_frames() -> None:
    for frame in (FRAME, FRAME.lazy()):
        found = list(pieces(frame, ["weight", "x"], 128))
        assert pl.concat([piece for _, piece in found]).equals(FRAME.select("weight", "x"))
        assert [offset for offset, _ in found] == np.cumsum([0, *(p.height for _, p in found)])[:-1].tolist()
        assert sample(frame, 100)["x"].to_list() == FRAME["x"][::5].to_list()
        rows = np.arange(1, N, 2)
        assert sample(frame, 50, rows=rows)["x"].to_list() == FRAME["x"].to_numpy()[rows[::5]].tolist()
        assert sample(frame, 10_000).height == N


def test_a_table_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Table.encode({"all": FRAME}, SCHEMA, TARGETS).index = torch.arange(2)  # type: ignore[misc]
