"""The saved folder: the same predictions, no code, and a clear word when it is damaged."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import yaml

from polytask.errors import RunError
from polytask.tasks import Binary, Regression
from polytask.training.fitted import Fitted
from polytask.training.learner import Learner, load

FILES = {"polytask.yaml", "schema.json", "weights.safetensors", "scores.json", "MODEL_CARD.md"}
FAST = {"epochs": 4, "lr": 0.02, "batch_size": 64}


def fit(frame, **options):
    tasks = [Binary("yes"), Regression("up"), Regression("down", role="auxiliary")]
    return Learner(tasks, encoder={"name": "mlp", "width": 16}, training=FAST | options).fit(frame)


@pytest.fixture
def saved(frame, tmp_path):
    learner = fit(frame)
    learner.evaluate(frame[500:])
    learner.save(tmp_path / "model")
    return tmp_path / "model"


def test_it_predicts_the_same(frame, tmp_path):
    learner = fit(frame)
    scores = learner.evaluate(frame[500:])
    learner.save(tmp_path / "model", auxiliary=True)
    assert {p.name for p in (tmp_path / "model").iterdir()} == FILES
    loaded = load(tmp_path / "model")
    for column in ("yes_probability", "up", "down"):
        one, two = (m.predict(frame, auxiliary=True)[column].to_numpy() for m in (learner, loaded))
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert loaded.history == learner.history
    assert loaded.best_epoch_per_task == learner.best_epoch_per_task
    assert loaded.fitted.test_scores == scores
    assert loaded.config == learner.config


def test_auxiliary_tasks_are_dropped_unless_asked_for(frame, saved):
    loaded = load(saved)
    assert loaded.predict(frame, auxiliary=True).columns == ["yes", "yes_probability", "up"]
    assert set(loaded.evaluate(frame).tasks) == {"yes", "up"}
    assert b"down" not in (saved / "weights.safetensors").read_bytes()
    loaded.save(saved.parent / "again")
    assert load(saved.parent / "again").predict(frame).equals(loaded.predict(frame))


def test_several_trunks_in_one_folder(frame, tmp_path):
    learner = fit(frame, epochs=15, lr=0.05, keep="per_task", patience=0)
    assert len(learner.fitted.parts) > 1
    learner.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_allclose(learner.predict(frame)["up"], loaded.predict(frame)["up"], rtol=1e-5, atol=1e-6)
    plain = yaml.safe_load((tmp_path / "model" / "polytask.yaml").read_text())
    assert sorted(task for part in plain["parts"] for task in part["tasks"]) == ["up", "yes"]


def test_a_task_can_fall_back_to_a_model_of_its_own(frame, tmp_path):
    """What ``--act`` needs: one artefact, the task 'up' served by another training."""
    joint = fit(frame)
    alone = Learner([Regression("up")], exclude=["yes", "down"], training=FAST, seed=3).fit(frame)
    # Both schemas were fitted on validation splits of their own; a comparison fits one for all.
    shared = joint.fitted.parts[0]
    kept = replace(shared, targets=tuple(t for t in shared.targets if t.task.name != "up"))
    own = replace(alone.fitted.parts[0], name="up-alone")
    fitted = Fitted(joint.fitted.schema, (kept, own), verdicts={"up": "hurt"})
    mixed = Learner.from_config(joint.config, fitted)
    mixed.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert [part.name for part in loaded.fitted.parts] == ["model", "up-alone"]
    np.testing.assert_allclose(
        loaded.predict(frame)["yes_probability"], joint.predict(frame)["yes_probability"], rtol=1e-5, atol=1e-6
    )
    assert "- up: hurt" in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert loaded.fitted.verdicts == {"up": "hurt"}
    same_inputs = Learner.from_config(alone.config, Fitted(joint.fitted.schema, (own,)))
    np.testing.assert_allclose(loaded.predict(frame)["up"], same_inputs.predict(frame)["up"], rtol=1e-5, atol=1e-6)


def test_the_card_has_facts_and_fields(saved):
    card = (saved / "MODEL_CARD.md").read_text()
    for word in (
        "Licence: _to be filled in_",
        "Jurisdiction",
        "Intended use",
        "| yes | binary |",
        "| yes | 100 | auc |",
    ):
        assert word in card
    assert "down" not in card.split("## Results")[0]


def test_an_existing_folder_is_refused_and_stays(frame, saved):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    learner = load(saved)
    with pytest.raises(RunError, match="overwrite"):
        learner.save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    learner.save(saved, overwrite=True)
    assert {p.name for p in saved.iterdir()} == FILES
    assert os.listdir(saved.parent) == ["model"]


@pytest.mark.parametrize("name", sorted(FILES - {"MODEL_CARD.md"}))
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(RunError, match=f"'{name}' is missing"):
        load(saved)


@pytest.mark.parametrize("name", sorted(FILES - {"MODEL_CARD.md"}))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_a_clear_error(saved, name, share):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(RunError) as caught:
        load(saved)
    assert "save it again" in str(caught.value) or "again" in str(caught.value)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("name", ["polytask.yaml", "schema.json", "scores.json"])
def test_a_newer_format_says_so(saved, name):
    read = yaml.safe_load((saved / name).read_text())
    read["format"] = 99
    (saved / name).write_text(json.dumps(read))
    with pytest.raises(RunError, match=r"format 99 is newer.*\n.*Update Polytask"):
        load(saved)


@pytest.mark.parametrize("damage", ["drop", "shape", "nonsense"])
def test_damaged_contents_are_a_clear_error(saved, damage):
    plain = yaml.safe_load((saved / "polytask.yaml").read_text())
    if damage == "drop":
        del plain["parts"]
    elif damage == "shape":
        plain["parts"][0]["encoder"]["width"] = 8
    else:
        plain["learner"] = 7
    (saved / "polytask.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(RunError, match="cannot be read") as caught:
        load(saved)
    assert str(saved) in str(caught.value)


def test_loading_executes_nothing(saved, tmp_path, monkeypatch):
    """A third-party class in the artefact is not imported unless it is trusted; YAML tags build no objects."""
    (tmp_path / "evil_encoder.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    plain = yaml.safe_load((saved / "polytask.yaml").read_text())
    plain["parts"][0]["encoder"] = {"name": "evil_encoder:Encoder"}
    (saved / "polytask.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(RunError, match=r"third-party[^\n]*\n.*trust=True"):
        load(saved)
    with pytest.raises(SystemExit, match="executed"):
        load(saved, trust=True)
    (saved / "polytask.yaml").write_text("format: !!python/object/apply:os.getcwd []")
    with pytest.raises(RunError):
        load(saved)


def test_no_folder(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        load(tmp_path / "nowhere")


def test_a_configuration_cut_anywhere_is_noticed(saved):
    """YAML cut at the end of a line is still YAML; the artefact must not pass for whole."""
    path = saved / "polytask.yaml"
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.8, 0.9, 0.97, 0.99):
        cut = whole[: int(share * len(whole))]
        path.write_bytes(cut[: cut.rfind(b"\n") + 1])
        with pytest.raises(RunError, match="cannot be read"):
            load(saved)


def test_files_of_two_artefacts_are_not_mixed(frame, saved, tmp_path):
    fit(frame, seed=7).save(tmp_path / "other")
    (saved / "weights.safetensors").write_bytes((tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"weights\.safetensors is not the file"):
        load(saved)
