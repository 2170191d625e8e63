"""A comparison from tables to record, on data whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from polytask.data.splits.random import Random
from polytask.data.table import Table
from polytask.errors import ConfigError, DataError, RunError, TaskError, UnknownNameError
from polytask.record.compare import CompareRecord
from polytask.studies.compare import compare
from polytask.studies.memory import step_bytes
from polytask.studies.options import CompareOptions
from polytask.tasks import Binary, Count, Regression
from polytask.training.learner import Learner, load

QUICK = {"epochs": 3, "batch_size": 64, "threads": 1}


def table(rows: int = 1200, seed: int = 0) -> pl.DataFrame:
    """Two targets of the same hidden number, one of them with labels missing, and one of noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    hidden = x @ rng.normal(size=6)
    b = np.where(rng.random(rows) < 0.3, np.nan, (hidden + rng.normal(size=rows) > 0).astype(float))
    columns = {f"x{i}": x[:, i] for i in range(6)}
    return pl.DataFrame(columns | {"a": hidden + rng.normal(size=rows), "b": b, "noise": rng.normal(size=rows)})


def learner(**changes: object) -> Learner:
    tasks = [Regression("a"), Binary("b", metric="log_loss"), Regression("noise", role="auxiliary")]
    given: dict[str, object] = {"encoder": {"name": "mlp", "width": 16}, "training": QUICK} | changes
    return Learner(tasks, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompareRecord, object]:
    run = tmp_path_factory.mktemp("compare") / "run"
    others = {"narrow": learner(encoder={"name": "mlp", "width": 2})}
    made = compare(
        learner(balancer="uncertainty"),
        table(),
        split=Random(validation=0.0, test=0.4),
        seeds=2,
        others=others,
        run=run,
        title="three targets",
    )
    return made, run


def test_the_record_survives_its_file(record: tuple[CompareRecord, object]) -> None:
    made, run = record
    assert CompareRecord.read(run).to_json() == made.to_json()  # type: ignore[arg-type]


def test_contenders_and_costs(record: tuple[CompareRecord, object]) -> None:
    made, _ = record
    assert [c.name for c in made.contenders] == ["single", "multi", "equal", "narrow", "matched"]
    costs = {c.contender: c for c in made.costs}
    assert costs["single"].models == costs["matched"].models == 2  # auxiliary tasks are never trained alone
    assert costs["multi"].models == 1
    # 6 inputs, two layers of 16: 16*6+16 + 16*16+16 = 384; heads 17 each; log variances belong to the balancer
    assert costs["multi"].parameters == 384 + 3 * 17
    assert costs["single"].parameters == 2 * (384 + 17)
    assert costs["matched"].steps <= costs["multi"].steps + 2


def test_each_task_alone_with_the_layers_of_the_way_of_sharing() -> None:
    """Two experts 6 -> 8 and a gate 6 -> 2 for a head of 8; plain single-task models have one layer 6 -> 8."""
    options = CompareOptions(seeds=1, same=True, matched=False)
    small: dict[str, object] = {"name": "mlp", "width": 8, "depth": 1}
    made = compare(learner(encoder=small, sharing={"name": "mmoe", "experts": 2}), table(300), options=options)
    assert [c.name for c in made.contenders] == ["single", "multi", "single_same"]
    parameters = {c.contender: c.parameters for c in made.costs}
    assert parameters["single"] == 2 * (6 * 8 + 8 + 9)
    assert parameters["single_same"] == 2 * (2 * (6 * 8 + 8) + 2 * 6 + 9)
    assert {c.models for c in made.costs if c.contender == "single_same"} == {2}
    assert {v.verdict for v in made.verdicts if v.contender == "single_same"} == {"no verdict"}
    assert any(d.contender == "single_same" for d in made.delta_m), "beside the baseline, its gain is what layers give"
    plain = compare(learner(encoder=small), table(300), options=options)
    assert [c.name for c in plain.contenders] == ["single", "multi"], "under hard sharing it is the baseline"


def test_memory_of_a_step_is_counted_by_hand() -> None:
    # 2 numbers -> 3 units -> 1 head, no dropout, 5 rows, float32. Weights: 2*3+3 + 3+1 = 13, four times (gradient and
    # two moments). Kept: the inputs (5x2), the activations after ReLU (5x3), and what the loss keeps (at least 5).
    frame = pl.DataFrame(
        {"x": [0.1, 0.5, 0.2, 0.9, 0.4], "z": [1.0, 0.3, 0.8, 0.1, 0.0], "y": [1.0, 2.0, 0.5, 3.0, 1.5]}
    )
    small = Learner([Regression("y")], encoder={"name": "mlp", "width": 3, "depth": 1, "dropout": 0.0},
                    training={"epochs": 1, "validation_fraction": 0.0})  # fmt: skip
    small.fit(frame)
    model = small.fitted.parts[0].model
    table = Table.encode({"t": frame}, small.fitted.schema, small.fitted.targets)
    found = step_bytes(model, table.batch(torch.arange(5)))
    least = 4 * 13 * 4 + 4 * (5 * 2 + 5 * 3)
    assert least < found < least + 4 * 5 * 12
    assert found == step_bytes(model, table.batch(torch.arange(5)))


def test_verdicts_cover_primary_tasks_only_and_the_matched_contender_has_none(
    record: tuple[CompareRecord, object],
) -> None:
    made, _ = record
    assert {v.task for v in made.verdicts} == {"a", "b"}
    assert {v.verdict for v in made.verdicts if v.contender == "matched"} == {"no verdict"}
    judged = [v for v in made.verdicts if v.contender != "matched"]
    assert len(judged) == 6
    assert all(v.weak and v.seeds == 2 for v in judged)


def test_row_scores_are_kept_and_average_to_the_metric(record: tuple[CompareRecord, object]) -> None:
    made, run = record
    rows = np.load(run / "row_scores.npz", allow_pickle=False)  # type: ignore[operator]
    scores = {(s.contender, s.task): s.metrics for s in made.scores}
    for contender in ("single", "multi", "narrow"):
        found = rows[f"{contender}/a"].mean(1)
        np.testing.assert_allclose(found, scores[contender, "a"]["rmse"], rtol=1e-9)


def test_test_labels_are_those_of_the_split(record: tuple[CompareRecord, object]) -> None:
    made, _ = record
    facts = {t.name: t for t in made.tasks}
    assert made.data.test == 480
    assert made.data.train + made.data.validation == 720
    assert facts["a"].labelled_test == 480
    assert facts["b"].labelled_test + facts["b"].labelled_train == int(table()["b"].is_not_nan().sum())
    assert facts["noise"].role == "auxiliary"


def test_the_model_of_the_run_predicts(record: tuple[CompareRecord, object]) -> None:
    _, run = record
    predicted = load(run / "model").predict(table(20, seed=5).drop("a", "b", "noise"))  # type: ignore[operator]
    assert predicted.columns == ["a", "b", "b_probability"]
    assert predicted.height == 20


def test_the_model_card_tells_the_verdicts(record: tuple[CompareRecord, object]) -> None:
    made, run = record
    card = (run / "model" / "MODEL_CARD.md").read_text()  # type: ignore[operator]
    verdict = next(v for v in made.verdicts if (v.contender, v.task) == ("multi", "a"))
    assert f"a: {verdict.verdict} against single-task training: rmse {verdict.estimate:+.4g}" in card


def test_the_same_seeds_give_the_same_record() -> None:
    def scores() -> object:
        return compare(learner(), table(400), seeds=1, options=CompareOptions(matched=False)).scores

    assert scores() == scores()


def unrelated(rows: int, names: str) -> pl.DataFrame:
    """Targets that depend on one feature each, and nothing in common."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 4))
    targets = {name: 3 * x[:, i] + 0.1 * rng.normal(size=rows) for i, name in enumerate(names)}
    return pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | targets)


def test_a_model_that_cannot_learn_is_called_hurt() -> None:
    # A trunk one wide between features and heads cannot carry two unrelated numbers.
    frame = unrelated(3000, "abc")
    wide = Learner(
        [Regression(n) for n in "abc"], encoder={"name": "mlp", "width": 32, "dropout": 0.0}, training={"epochs": 8}
    )
    narrow = Learner([Regression(n) for n in "abc"], encoder={"name": "mlp", "width": 1, "dropout": 0.0},
                     training={"epochs": 8})  # fmt: skip
    made = compare(wide, frame, seeds=3, others={"one": narrow}, options=CompareOptions(matched=False))
    words = {v.task: v.verdict for v in made.verdicts if v.contender == "one"}
    assert sorted(words.values()).count("hurt") >= 2
    gains = {d.contender: d.value for d in made.delta_m}
    assert gains["one"] < -50


def test_acting_replaces_hurt_tasks_by_their_single_model(tmp_path: object) -> None:
    frame = unrelated(4000, "ab")
    # The single models get the recipe's trunk of one unit too, which is enough for one number and not for two.
    one = Learner(
        [Regression(n) for n in "ab"],
        encoder={"name": "mlp", "width": 1, "depth": 1, "dropout": 0.0, "activation": "gelu"},
        training={"epochs": 12, "lr": 0.02, "validation_fraction": 0.3},
    )
    options = CompareOptions(seeds=3, act=True, matched=False)
    made = compare(one, frame, options=options, run=tmp_path / "run")  # type: ignore[operator]
    assert made.acted
    kept = load(tmp_path / "run" / "model")  # type: ignore[operator]
    assert len(kept.fitted.parts) == 1 + len(made.acted) - (len(made.acted) == 2)
    test = frame.tail(500)
    error = kept.evaluate(test)
    # A single model answers the task that fell back: its error is that of the single models, far below 3.
    assert error[made.acted[0]].values["rmse"] < 2.5


def test_boosting_answers_every_kind() -> None:
    pytest.importorskip("lightgbm")
    options = CompareOptions(seeds=1, boosting=True, matched=False)
    made = compare(learner(), table(600), options=options)
    scores = {s.task: s.metrics for s in made.scores if s.contender == "boosting"}
    assert scores["a"]["r2"][0] > 0.3
    assert scores["b"]["auc"][0] > 0.7


def test_linear_estimators_take_part() -> None:
    """The targets are linear in the features, so a linear estimator must come close to the noise."""
    options = CompareOptions(seeds=2, linear=("mean_regularized", "trace_norm"), matched=False)
    made = compare(learner(), table(1500), options=options)
    assert [c.name for c in made.contenders] == ["single", "multi", "mean_regularized", "trace_norm"]
    scores = {(s.contender, s.task): s.metrics for s in made.scores}
    for name in ("mean_regularized", "trace_norm"):
        assert scores[name, "a"]["rmse"][0] < 1.15  # the noise has deviation 1
        assert scores[name, "b"]["auc"][0] > 0.85
    assert {v.contender for v in made.verdicts} == {"multi", "mean_regularized", "trace_norm"}


def test_linear_estimators_refuse_what_they_cannot_learn() -> None:
    counted = Learner([Count("n")], training=QUICK)
    frame = table(300).with_columns(n=pl.int_range(300) % 7).drop("a", "b", "noise")
    with pytest.raises(TaskError, match="learns binary, multilabel and regression"):
        compare(counted, frame, options=CompareOptions(seeds=1, linear=("mean_regularized",)))
    with pytest.raises(UnknownNameError, match="Did you mean 'trace_norm'"):
        compare(learner(), table(300), options=CompareOptions(seeds=1, linear=("tracenorm",)))


def test_repeated_splits_speak_about_other_samples() -> None:
    options = CompareOptions(seeds=1, splits=2, matched=False)
    made = compare(learner(), table(500), options=options)
    assert {(s.contender, s.task, s.splits) for s in made.splits} == {("multi", "a", 2), ("multi", "b", 2)}
    assert all("over training samples" in s.note for s in made.splits)


def test_given_validation_and_test_tables_are_used() -> None:
    whole = table(900)
    made = compare(
        learner(),
        whole[:500],
        validation=whole[500:650],
        test=whole[650:],
        seeds=1,
        options=CompareOptions(matched=False),
    )
    assert (made.data.train, made.data.validation, made.data.test) == (500, 150, 250)


def test_one_table_per_task() -> None:
    whole = table(900)
    sources = {"first": whole[:300].drop("b", "noise"), "second": whole[300:600].drop("a", "noise")}
    both = Learner([Regression("a"), Binary("b")], encoder={"name": "mlp", "width": 16}, training=QUICK)
    made = compare(both, sources, test=whole[600:].drop("noise"), seeds=1, options=CompareOptions(matched=False))
    assert {t.name: t.labelled_train for t in made.tasks}["a"] == 300


def test_errors() -> None:
    with pytest.raises(ConfigError, match="taken"):
        compare(learner(), table(100), others={"single": learner()})
    with pytest.raises(ConfigError, match="no contender"):
        compare(learner(), table(100), options=CompareOptions(primary="mutli"))
    with pytest.raises(DataError, match="no test rows"):
        compare(learner(), table(100), split=Random(validation=0.1, test=0.0))
    for wrong in ({"seeds": 0}, {"splits": 1}, {"margin": 0.0}):
        with pytest.raises(ConfigError):
            dataclasses.replace(CompareOptions(), **wrong)


def test_an_existing_run_is_left_alone(tmp_path: object) -> None:
    run = tmp_path / "run"  # type: ignore[operator]
    run.mkdir()
    (run / "precious.txt").write_text("mine")
    with pytest.raises(RunError):
        compare(learner(), table(100), run=run)
    assert (run / "precious.txt").read_text() == "mine"
