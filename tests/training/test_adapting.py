"""Starting from earlier models, adding tasks to them, learning from teachers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional

from polytask.errors import ConfigError, TaskError
from polytask.tasks.binary import Binary
from polytask.tasks.distilling import soft_binary, soft_multiclass
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.regression import Regression
from polytask.training.distillation import Distillation
from polytask.training.learner import Learner, load


def table(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    hidden = np.tanh(x @ np.random.default_rng(7).normal(size=(6, 3)))
    noise = rng.normal(size=(rows, 3))
    return pl.DataFrame(
        {f"x{i}": x[:, i] for i in range(6)}
        | {
            "a": hidden[:, 0] + 0.3 * noise[:, 0],
            "b": (hidden[:, 1] + 0.4 * noise[:, 1] > 0).astype(int),
            "c": np.digitize(hidden[:, 2] + 0.2 * noise[:, 2], [-0.5, 0.5]),
        }
    )


TRAIN, TEST = table(800, 1), table(400, 2)
OLD = (Regression("a"), Binary("b"))


@pytest.fixture(scope="module")
def trained() -> Learner:
    return Learner(OLD, exclude=["c"], training={"epochs": 4}).fit(TRAIN)


@pytest.mark.parametrize("how", ["frozen", "lora"])
def test_a_task_added_beside_a_frozen_trunk_changes_no_other(trained: Learner, how: str) -> None:
    larger = trained.add_task(Multiclass("c"), TRAIN, how=how, test=TEST)  # type: ignore[arg-type]
    assert larger.forgetting is not None
    before, after = larger.forgetting.before, larger.forgetting.after
    for task in ("a", "b"):
        assert after[task].value == pytest.approx(before[task].value, abs=1e-6)
    assert after["c"].value > TEST["c"].value_counts()["count"].max() / len(TEST)  # better than the largest class
    assert trained.predict(TEST).columns == ["a", "b", "b_probability"]  # the learner itself is as it was
    assert str(larger.forgetting).startswith("a: rmse")


def test_low_rank_matrices_learn_more_than_a_head_alone(trained: Learner) -> None:
    scores = {
        how: trained.add_task(Multiclass("c"), TRAIN, how=how, test=TEST, training={"epochs": 12}).evaluate(TEST)["c"]
        for how in ("frozen", "lora")
    }
    assert scores["lora"].value > scores["frozen"].value


def test_full_training_on_new_labels_alone_forgets_and_says_so(trained: Learner) -> None:
    new = TRAIN.drop("a", "b")
    with_old = trained.add_task(Multiclass("c"), TRAIN, how="full", test=TEST, training={"epochs": 12})
    without = trained.add_task(Multiclass("c"), new, how="full", test=TEST, training={"epochs": 12})
    assert with_old.forgetting is not None
    assert without.forgetting is not None
    assert without.forgetting.after["a"].value > without.forgetting.before["a"].value  # RMSE grows
    assert with_old.forgetting.after["a"].value < without.forgetting.after["a"].value


def test_a_larger_learner_is_saved_and_loaded_with_all_its_tasks(trained: Learner, tmp_path: Path) -> None:
    larger = trained.add_task({"kind": "multiclass", "name": "c"}, TRAIN, how="lora")
    larger.save(tmp_path / "model")
    assert load(tmp_path / "model").predict(TEST).equals(larger.predict(TEST))


def test_tasks_that_cannot_be_added_are_refused(trained: Learner) -> None:
    with pytest.raises(TaskError, match="already"):
        trained.add_task(Binary("b"), TRAIN)
    coupled = Learner(OLD, sharing="cross_stitch", exclude=["c"], training={"epochs": 1}).fit(TRAIN)
    with pytest.raises(TaskError, match="run through each other"):
        coupled.add_task(Multiclass("c"), TRAIN)
    towers = Learner(OLD, sharing="towers", exclude=["c"], training={"epochs": 1}).fit(TRAIN)
    with pytest.raises(ConfigError, match="one trunk"):
        towers.add_task(Multiclass("c"), TRAIN, how="lora")


def test_a_start_takes_over_schema_and_weights(trained: Learner, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    still = {"epochs": 1, "lr": 1e-12, "weight_decay": 0.0}
    again = Learner(OLD, exclude=["c"], training=still, init_from=tmp_path / "model").fit(TRAIN)
    assert again.fitted.schema == trained.fitted.schema
    assert torch.allclose(
        torch.tensor(again.predict(TEST)["a"].to_numpy()),
        torch.tensor(trained.predict(TEST)["a"].to_numpy()),
        atol=1e-5,
    )
    fresh = Learner(OLD, exclude=["c"], training=still).fit(TRAIN)
    assert fresh.evaluate(TEST)["a"].value > again.evaluate(TEST)["a"].value


def test_a_start_of_another_architecture_is_refused(trained: Learner, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    with pytest.raises(ConfigError, match="nothing that its tasks share fits"):
        Learner(OLD, encoder={"name": "mlp", "width": 32}, init_from=tmp_path / "model").fit(TRAIN)


def test_soft_losses_are_those_of_the_formula() -> None:
    student, teacher = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, -1.0]])
    for temperature in (1.0, 2.5):
        ours = soft_multiclass(student, teacher, temperature)
        likely = (teacher / temperature).softmax(-1)
        divergence = functional.kl_div((student / temperature).log_softmax(-1), likely, reduction="sum")
        entropy = -(likely * likely.log()).sum()
        assert ours.item() == pytest.approx(temperature**2 * float(divergence + entropy), rel=1e-5)
    ours = soft_binary(student, teacher)
    assert torch.allclose(
        ours, functional.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none")
    )


def test_a_student_without_labels_of_its_own_becomes_its_teacher(tmp_path: Path) -> None:
    """With the teachers' share at 1 throughout, labels have no say: the student predicts what the teacher does."""
    teacher = Learner(OLD, exclude=["c"], training={"epochs": 6}).fit(TRAIN)
    teacher.save(tmp_path / "teacher")
    listens = {"teachers": dict.fromkeys(("a", "b"), str(tmp_path / "teacher")), "annealing": False, "weight": 1.0}
    budget = {"epochs": 40, "patience": 0, "validation_fraction": 0.0}
    flipped = TRAIN.with_columns(b=1 - pl.col("b"))  # labels that say the opposite
    student = Learner(OLD, distillation=listens, training=budget, init_from=tmp_path / "teacher").fit(flipped)
    same = teacher.predict(TEST)["b_probability"].to_numpy()
    found = student.predict(TEST)["b_probability"].to_numpy()
    assert np.abs(found - same).mean() < 0.03
    assert np.corrcoef(found, same)[0, 1] > 0.99


def test_single_task_teachers_are_trained_first_and_anneal() -> None:
    taught = Learner(OLD, exclude=["c"], distillation=Distillation(), training={"epochs": 4}).fit(TRAIN)
    plain = Learner(OLD, exclude=["c"], training={"epochs": 4}).fit(TRAIN)
    assert not taught.predict(TEST).equals(plain.predict(TEST))
    assert [Distillation().share(step, 4) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_teachers_of_other_labels_are_refused(trained: Learner, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    teachers = {"teachers": {"c": str(tmp_path / "model")}}
    with pytest.raises(ConfigError, match="no task 'c'"):
        Learner([Multiclass("c")], distillation=teachers, exclude=["a", "b"]).fit(TRAIN)
    other = TRAIN.with_columns(b=pl.when(pl.col("b") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    with pytest.raises(TaskError, match="other classes"):
        Learner(OLD, exclude=["c"], distillation={"teachers": {"b": str(tmp_path / "model")}}).fit(other)
    for wrong, key in (({"weight": 2.0}, "weight"), ({"temperature": 0.0}, "temperature")):
        with pytest.raises(ConfigError, match=key):
            Distillation(**wrong)
