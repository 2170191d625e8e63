"""``polytask describe`` on a configuration and on what it trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polytask.app.cli import main

CONFIG = """
data: {train: table.csv, split: {name: random, validation: 0.2, test: 0}}
tasks: {y: regression, z: regression}
training: {epochs: 1}
"""


def test_a_configuration_and_its_model_have_the_same_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    columns = {"x": x, "y": x + rng.normal(size=200), "z": rng.normal(size=200)}
    pl.DataFrame(columns).write_csv("table.csv")
    Path("polytask.yaml").write_text(CONFIG)
    assert main(["describe", "polytask.yaml"]) == 0
    planned = capsys.readouterr().out
    # 1 -> 128 -> 128 and two heads: 256 + 16,512 + 2 * 129
    assert "2 tasks, 17,026 numbers" in planned
    assert "each of 2 tasks (y, z)" in planned
    assert main(["train", "polytask.yaml", "--run", "run", "--no-report"]) == 0
    capsys.readouterr()
    assert main(["describe", "run"]) == 0
    assert capsys.readouterr().out == planned


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert main(["describe", str(tmp_path / "nothing.yaml")]) == 2


def test_third_party_classes_are_imported_on_request_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("their_encoder.py").write_text(
        "from dataclasses import dataclass\n"
        "from polytask.nets.encoders.encoder import Encoder\n"
        "from polytask.nets.encoders.mlp import MLP\n"
        "@dataclass(frozen=True)\n"
        "class Theirs(Encoder):\n"
        "    def build(self, spec):\n"
        "        return MLP(width=4).build(spec)\n"
    )
    x = np.random.default_rng(0).normal(size=100)
    pl.DataFrame({"x": x, "y": x + 1 / (1 + x**2), "z": np.cos(9 * x)}).write_csv("table.csv")
    Path("polytask.yaml").write_text(CONFIG + 'encoder: "their_encoder:Theirs"\n')
    assert main(["train", "polytask.yaml", "--run", "run", "--no-report"]) == 0
    assert main(["evaluate", "run", "table.csv"]) == 2
    assert "--trust" in capsys.readouterr().err
    assert main(["evaluate", "run", "table.csv", "--trust"]) == 0
