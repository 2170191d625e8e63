"""Bad input: exit code 2, the mistake by its place, what to do, and nothing on disk that was not there before."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from people_table import ROWS, Polytask, everything_below, people


def broken_tables(folder: Path) -> None:
    frame = people()
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("x,churn,spend\n")
    frame.with_columns(churn=pl.lit("yes")).write_csv(folder / "constant.csv")
    frame.with_columns(spend=pl.lit(None, pl.Float64)).write_csv(folder / "missing.csv")
    texts = [str(round(x, 3)) for x in frame["x"]]
    texts[17] = "abc"
    frame.with_columns(x=pl.Series(texts)).write_csv(folder / "text.csv")
    (folder / "doubled.csv").write_text("x,x,churn,spend\n" + "1,2,yes,3\n2,3,no,4\n" * 20)
    (folder / "ragged.csv").write_text("x,churn,spend\n1,yes,1\n2,no,2\n3,yes,5,9\n")
    (folder / "latin.csv").write_bytes("x,churn,spend\n1,jö,2\n2,no,3\n".encode("latin-1"))
    (folder / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    frame.select("churn", "spend").write_csv("targets.csv")
    frame.drop("x").write_csv("nox.csv")
    frame.drop("churn", "spend").write_csv("unlabelled.csv")
    frame.with_columns(day=pl.when(pl.int_range(pl.len()) < 1).then(2).otherwise(1)).write_csv("days.csv")


SET = "--set"
CASES = {
    "missing file": ([SET, "data.train=peopel.csv"], ["peopel.csv", "Did you mean 'people.csv'?"]),
    "empty table": ([SET, "data.train=empty.csv"], ["empty.csv", "empty"]),
    "header only": ([SET, "data.train=header.csv"], ["header.csv", "no rows"]),
    "damaged Parquet": ([SET, "data.train=cut.parquet"], ["cut.parquet", "cannot be read"]),
    "unknown column": ([SET, "tasks={chrn: binary, spend: regression}"], ["'chrn'", "Did you mean 'churn'?"]),
    "unknown feature": ([SET, "data.features=[x, zz]"], ["'zz'", "features"]),
    "a target among the features": ([SET, "data.features=[x, churn]"], ["features", "'churn'"]),
    "a column twice in a task": ([SET, "tasks={v: {kind: regression, columns: [spend, spend]}}"], ["'v'", "twice"]),
    "targets only": (
        [SET, "data={train: targets.csv}", SET, "tasks={churn: binary, spend: regression}"],
        ["no feature is left", "targets only"],
    ),
    "test table without a feature": ([SET, "data.test=nox.csv"], ["the test table", "'x'"]),
    "test table without labels": ([SET, "data.test=unlabelled.csv"], ["the test table", "no usable label", "'churn'"]),
    "validation without labels": ([SET, "data.validation=unlabelled.csv"], ["the validation table", "no usable label"]),
    "a source without targets": ([SET, "data.train={a: people.csv, b: unlabelled.csv}"], ["source 'b'", "no target"]),
    "times that are all one": (
        [SET, "data.train=days.csv", SET, "data.split={name: time, column: day}"],
        ["'day'", "stay together"],
    ),
    "unknown exclusion": ([SET, "data.exclude=[citi]"], ["'citi'", "Did you mean 'city'?"]),
    "misspelt key": ([SET, "encodr=mlp"], ["'encodr'", "Did you mean 'encoder'?"]),
    "misspelt kind": ([SET, "tasks.churn=binry"], ["tasks.churn", "Did you mean 'binary'?"]),
    "constant target": ([SET, "data.train=constant.csv"], ["'churn'", "'yes'"]),
    "no label at all": ([SET, "data.train=missing.csv"], ["'spend'", "missing"]),
    "text among numbers": ([SET, "data.train=text.csv"], ["text.csv", "'x'", "row 18", "'abc'"]),
    "doubled columns": ([SET, "data.train=doubled.csv"], ["doubled.csv", "two columns are called 'x'"]),
    "ragged": ([SET, "data.train=ragged.csv"], ["ragged.csv", "line 4", "expected 3 cells", "found 4"]),
    "encoding": ([SET, "data.train=latin.csv"], ["latin.csv", "UTF-8", "0xF6"]),
    "three values": ([SET, "tasks={grade: binary, spend: regression}", SET, "data.exclude=[]"], ["'grade'", "found 3"]),
    "wrong type": ([SET, "training.epochs=many"], ["c.yaml", "training.epochs", "'many'"]),
    "wrong type inside": ([SET, "compare.contenders.a.encoder.width=x"], ["compare.contenders.a.encoder.width"]),
    "wrong value": ([SET, "training.lr=-1"], ["training.lr", "-1"]),
    "no task": ([SET, "tasks={}"], ["tasks"]),
    "no rows to judge": ([SET, "data.split.test=1.5"], ["data.split.test"]),
    "unknown data set": ([SET, "data={dataset: nhane}"], ["'nhane'", "Did you mean 'nhanes'?"]),
    "no key": ([SET, "training"], ["key=value"]),
    "third party": ([SET, "encoder=no_such_module:Thing"], ["encoder", "no_such_module"]),
}


@pytest.mark.parametrize("command", ["check", "train", "compare"])
@pytest.mark.parametrize("case", CASES)
def test_bad_input(place: Path, polytask: Polytask, command: str, case: str) -> None:
    words, expected = CASES[case]
    broken_tables(place)
    before = everything_below(place)
    result = polytask(command, "c.yaml", *words)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("Error: ")
    for text in expected:
        assert text in result.err
    assert everything_below(place) == before


def test_one_task_has_nothing_to_be_compared_with(place: Path, polytask: Polytask) -> None:
    before = everything_below(place)
    result = polytask("compare", "c.yaml", SET, "tasks={churn: binary}")
    assert result.code == 2
    assert "'churn' is the only task" in result.err
    assert everything_below(place) == before


def test_a_target_whose_name_no_task_can_have(place: Path, polytask: Polytask) -> None:
    people().rename({"churn": "km/h"}).write_csv("slash.csv")
    assert polytask("init", "slash.csv", "--targets", "km/h,spend", "--out", "s.yaml").code == 0
    assert "km_h: {kind: binary, columns: [km/h]}" in (place / "s.yaml").read_text()
    assert polytask("check", "s.yaml").code == 0


@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_old_run_outlives_bad_input(place: Path, polytask: Polytask, command: str) -> None:
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 0
    before = everything_below(place)
    result = polytask(command, "c.yaml", "--run", "r", "--overwrite", SET, "tasks={chrn: binary}")
    assert result.code == 2
    assert everything_below(place) == before


def test_an_old_comparison_outlives_one_that_fails(place: Path, polytask: Polytask) -> None:
    assert polytask("compare", "c.yaml", "--run", "r", "--no-report").code == 0
    before = everything_below(place)
    diverging = [SET, "training.lr=1e30", SET, "training.nan_patience=1", SET, "training.batch_size=8"]
    result = polytask("compare", "c.yaml", "--run", "r", "--overwrite", *diverging)
    assert result.code == 1
    assert "not finite" in result.err
    assert everything_below(place) == before
    assert polytask("compare", "c.yaml", "--run", "new", *diverging).code == 1
    assert everything_below(place) == before


def test_an_extra_that_is_missing_costs_nothing(
    place: Path, polytask: Polytask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert polytask("compare", "c.yaml", "--run", "r", "--no-report").code == 0
    before = everything_below(place)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    result = polytask("compare", "c.yaml", "--run", "r", "--overwrite", "--boosting")
    assert result.code == 2
    assert "polytask[boosting]" in result.err
    assert everything_below(place) == before


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("taken", "--overwrite"),
        ("people.csv", "found a file"),
        ("people.csv/run", "cannot write"),
        ("/proc/none", "cannot write"),
    ],
)
def test_run_folders_that_cannot_be_used(
    place: Path, polytask: Polytask, command: str, run: str, expected: str
) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "mine.txt").write_text("keep me")
    before = everything_below(place)
    result = polytask(command, "c.yaml", "--run", run)
    assert result.code == 2
    assert expected in result.err
    assert everything_below(place) == before


def test_other_peoples_folders_are_never_replaced(place: Path, polytask: Polytask) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "mine.txt").write_text("keep me")
    assert polytask("train", "c.yaml", "--run", "taken", "--overwrite").code == 2
    assert (place / "taken" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("command", ["check", "train", "compare"])
def test_a_class_seen_only_in_test_is_a_warning(place: Path, polytask: Polytask, command: str) -> None:
    people(80).write_csv("a.csv")
    people(40, seed=1).with_columns(grade=pl.Series(["d"] * 5 + ["a", "b", "c", "a", "b"] * 7)).write_csv("b.csv")
    Path("g.yaml").write_text(
        "data: {train: a.csv, test: b.csv, exclude: [spend]}\ntasks: {grade: multiclass, churn: binary}\n"
        "training: {epochs: 1}\ncompare: {seeds: 1}\n"
    )
    result = polytask(command, "g.yaml", *([] if command == "check" else ["--run", "r", "--no-report"]))
    assert result.code == 0
    warnings = [line for line in result.err.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 1
    assert "'d' (5 rows)" in warnings[0]


def test_features_that_are_not_finite_count_as_missing(place: Path, polytask: Polytask) -> None:
    values = people()["x"].to_list()
    values[3], values[4], values[5] = float("inf"), float("-inf"), float("nan")
    people().with_columns(x=pl.Series(values)).write_parquet("inf.parquet")
    assert polytask("train", "c.yaml", SET, "data.train=inf.parquet", "--run", "r", "--no-report").code == 0
    result = polytask("predict", "r", "inf.parquet")
    assert result.code == 0
    assert "nan" not in result.out.lower()
    assert len(result.out.splitlines()) == ROWS + 1


@pytest.fixture
def model(place: Path, polytask: Polytask) -> Path:
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 0
    return place / "r" / "model"


@pytest.mark.parametrize("name", ["polytask.yaml", "schema.json", "weights.safetensors", "scores.json"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_artefact(model: Path, polytask: Polytask, name: str, share: float) -> None:
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: int(share * len(content))])
    for command in ("predict", "evaluate"):
        result = polytask(command, model, "people.csv")
        assert result.code == 2
        assert "Error: " in result.err
        assert str(model) in result.err
    (model / name).unlink()
    assert polytask("predict", model, "people.csv").code == 2


def test_an_artefact_of_a_newer_version(model: Path, polytask: Polytask) -> None:
    file = model / "polytask.yaml"
    file.write_text(file.read_text().replace("format: 1", "format: 99"))
    result = polytask("predict", model, "people.csv")
    assert result.code == 2
    assert "99" in result.err
    assert "pip install --upgrade polytask" in result.err


def test_tables_that_do_not_fit_the_model(model: Path, polytask: Polytask) -> None:
    people().drop("x").write_csv("nox.csv")
    people().with_columns(x=pl.lit("word")).write_csv("words.csv")
    for table, texts in {
        "nox.csv": ["nox.csv", "'x'", "missing"],
        "words.csv": ["words.csv", "'x'"],
        "peple.csv": ["'people.csv'"],
        ".": ["folder"],
    }.items():
        result = polytask("predict", model, table)
        assert result.code == 2
        for text in texts:
            assert text in result.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "people.csv"], "--overwrite"),
        (["--out", "p.parqet"], "'.parquet'"),
        (["--out", "no/folder\0.csv"], "Error"),
        (["--out", "/proc/p.csv"], "cannot write"),
        (["--keep", "citi"], "'city'"),
        (["--keep", "churn"], "churn"),
    ],
)
def test_predictions_that_cannot_be_written(model: Path, polytask: Polytask, words: list[str], expected: str) -> None:
    before = everything_below(model.parents[1])
    result = polytask("predict", model, "people.csv", *words)
    assert result.code == 2
    assert expected in result.err
    assert everything_below(model.parents[1]) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--targets", "churn,spnd"], "'spend'"),
        (["--targets", " , "], "--targets"),
        (["--targets", "churn", "--out", "c.yaml"], "--overwrite"),
        (["--targets", "churn", "--out", "/proc/c.yaml"], "cannot write"),
        (["--targets", "x,z,city,churn,spend,grade"], "no column is left"),
    ],
)
def test_init_refuses(place: Path, polytask: Polytask, words: list[str], expected: str) -> None:
    before = everything_below(place)
    result = polytask("init", "people.csv", *words)
    assert result.code == 2
    assert expected in result.err
    assert everything_below(place) == before


def test_folders_that_hold_no_run(place: Path, polytask: Polytask) -> None:
    (place / "nothing").mkdir()
    for words in (
        ["report", "nothing"],
        ["report", "nowhere"],
        ["train", "--resume", "nothing"],
        ["train", "--resume", "nowhere"],
        ["predict", "nothing", "people.csv"],
        ["train"],
    ):
        result = polytask(*words)
        assert result.code == 2, words
        assert result.err.startswith("Error: ")
    shutil.rmtree(place / "nothing")


def test_a_run_whose_data_changed_is_not_resumed(place: Path, polytask: Polytask) -> None:
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 0
    people(seed=9).write_csv("people.csv")
    result = polytask("train", "--resume", "r")
    assert result.code == 2
    assert "the data are not those" in result.err
