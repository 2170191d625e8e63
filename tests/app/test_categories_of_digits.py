"""Categories that look like numbers mean the same to the command line and to Python, in training and later."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import polytask as package


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    zips = ["007", "7", "070", "700"] * 60
    pl.DataFrame({"zip": zips, "x": [i % 11 for i in range(240)], "y": [z == "007" for z in zips]}).with_columns(
        y=pl.when(pl.int_range(240) % 10 == 9).then(~pl.col("y")).otherwise(pl.col("y"))
    ).write_csv("t.csv")
    Path("new.csv").write_text("zip,x\n007,1\n7,1\n070,1\n")
    Path("c.yaml").write_text(
        "data: {train: t.csv}\ntasks: {y: binary}\nschema: {categorical: [zip]}\n"
        "encoder: {name: mlp, width: 8}\ntraining: {epochs: 20, lr: 0.05, batch_size: 32}\n"
    )
    return tmp_path


def test_command_line_and_python_agree(place: Path, polytask) -> None:
    assert polytask("train", "c.yaml", "--run", "r", "--no-report").code == 0
    assert polytask("predict", "r", "new.csv", "--out", "p.csv").code == 0
    told = pl.read_csv("p.csv")["y_probability"]
    assert told[0] > 0.5 > max(told[1], told[2])  # "007" is neither 7 nor any other
    again = package.load("r/model").predict("new.csv")["y_probability"]
    assert again.to_list() == pytest.approx(told.to_list())
