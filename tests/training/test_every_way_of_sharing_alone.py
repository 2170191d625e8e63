"""Every way of sharing with nobody to share with: what ``compare: {same: true}`` trains beside the baseline."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import sharing_child
import yaml

from polytask.app.cli import main
from polytask.app.reading import read_config
from polytask.nets.sharing import SHARING
from polytask.record.compare import CompareRecord
from polytask.studies.compare import compare
from polytask.studies.options import CompareOptions
from polytask.tasks import Binary
from polytask.training.learner import Learner

CONFIG = """
data: {train: rows.parquet, split: {name: random, validation: 0, test: 0.25}}
tasks: {click: binary, price: regression}
encoder: {name: mlp, width: 8, depth: 2}
sharing: {name: mmoe, experts: 2}
training: {epochs: 2, batch_size: 32, accelerator: cpu}
compare: {seeds: 1, matched: false, same: true}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder: ``rows.parquet`` and ``c.yaml``."""
    monkeypatch.chdir(tmp_path)
    sharing_child.rows(160, missing=0.2).with_columns(buy=None).drop("buy").write_parquet("rows.parquet")
    Path("c.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("way", list(SHARING))
def test_a_task_alone_learns_under_it(way):
    frame = sharing_child.rows(200, missing=0.2).drop("buy", "price")
    training = {"epochs": 30, "batch_size": 32, "lr": 0.02, "patience": 0}
    learner = Learner([Binary("click")], encoder=sharing_child.ENCODER, sharing=way, training=training)
    learner.fit(frame[:150], frame[150:])
    assert learner.history[-1].train["click"] < 0.6, "in units of the best constant predictor"


@pytest.mark.parametrize("way", ["hierarchical", "aitm", "esmm"])
def test_a_step_of_a_funnel_is_alone_without_its_parent(way):
    frame, training = sharing_child.rows(200, missing=0.2), {"epochs": 2, "batch_size": 32}
    learner = Learner(sharing_child.TASKS, encoder=sharing_child.ENCODER, sharing=way, training=training)
    made = compare(learner, frame, options=CompareOptions(seeds=1, same=True, matched=False))
    found = {score.task: score.metrics for score in made.scores if score.contender == "single_same"}
    assert found.keys() == {"click", "buy", "price"}
    assert all(math.isfinite(v) for metrics in found.values() for values in metrics.values() for v in values)


def test_the_configuration_asks_for_it(place, capfd):
    assert main(["compare", "c.yaml", "--run", "r"]) == 0
    out = capfd.readouterr().out
    record = CompareRecord.read(place / "r")
    assert [c.name for c in record.contenders] == ["single", "multi", "single_same"]
    assert {score.task for score in record.scores if score.contender == "single_same"} == {"click", "price"}
    assert "single-task, mmoe" in (place / "r/report.html").read_text()
    assert "single_same" in out or "single-task, mmoe" in out
    written = yaml.safe_load(Path("r/config.yaml").read_text())
    assert written["compare"]["same"] is True
    assert read_config("r/config.yaml").compare.same


def test_it_costs_what_the_layers_cost(place):
    """A trunk 5 -> 8 -> 8 and a head; two of them behind a gate 5 -> 2 without bias, for each of two tasks."""
    assert main(["compare", "c.yaml", "--run", "r", "--no-report"]) == 0
    parameters = {c.contender: c.parameters for c in CompareRecord.read(place / "r").costs}
    trunk, head = 5 * 8 + 8 + 8 * 8 + 8, 8 + 1
    assert parameters["single"] == 2 * (trunk + head)
    assert parameters["single_same"] == 2 * (2 * trunk + 5 * 2 + head)


@pytest.mark.parametrize("change", ["compare.same=false", "sharing=hard"])
def test_it_is_left_out_where_it_is_not_asked_for_or_is_the_baseline(place, change):
    assert main(["compare", "c.yaml", "--run", "r", "--no-report", "--set", change]) == 0
    assert [c.name for c in CompareRecord.read(place / "r").contenders] == ["single", "multi"]


def test_what_is_no_truth_value_is_refused_with_its_place(place, capfd):
    Path("c.yaml").write_text(CONFIG.replace("same: true", "same: mmoe"))
    assert main(["compare", "c.yaml", "--run", "r"]) == 2
    assert "compare.same" in capfd.readouterr().err
    assert not (place / "r").exists()
