"""The high level: what people hand over, and what they get back."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rich.console import Console
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from polytask.errors import ConfigError, DataError, MissingExtraError, RunError, UnknownNameError, UserError
from polytask.record.run import RunRecord
from polytask.tasks import Binary, Multiclass, Regression
from polytask.training import ProgressLines, TrainingOptions
from polytask.training.events import EpochDone
from polytask.training.learner import Learner
from polytask.training.listeners import TRACKERS

FAST = {"epochs": 12, "lr": 0.01, "batch_size": 64}
FEATURES = [f"x{i}" for i in range(6)]


def learner(*tasks, **options):
    return Learner(
        list(tasks or (Binary("yes"), Regression("up"))),
        encoder={"name": "mlp", "width": 16},
        exclude=options.pop("exclude", ("down",)),
        training=FAST | options,
    )


@pytest.fixture
def split(make_world):
    frame = make_world(rows=900).frame
    return frame[:700], frame[700:]


def test_scores_are_those_of_scikit_learn_on_the_predictions(split):
    train, test = split
    fitted = learner().fit(train)
    scores, predicted = fitted.evaluate(test), fitted.predict(test)
    assert scores["yes"]["auc"] == pytest.approx(roc_auc_score(test["yes"], predicted["yes_probability"]))
    assert scores["yes"]["accuracy"] == pytest.approx(np.mean(predicted["yes"].to_numpy() == test["yes"].to_numpy()))
    assert scores["up"]["mae"] == pytest.approx(mean_absolute_error(test["up"], predicted["up"]), rel=1e-5)
    assert scores["up"]["r2"] == pytest.approx(r2_score(test["up"], predicted["up"]), rel=1e-5)
    assert scores["yes"].value > 0.9
    assert scores["up"]["r2"] > 0.8
    assert scores["yes"].rows == 200


def test_predictions_come_in_the_library_and_order_of_the_question(split):
    train, test = split
    fitted = learner().fit(train)
    polars = fitted.predict(test)
    assert polars.columns == ["yes", "yes_probability", "up"]
    features = test.select(FEATURES[::-1])  # no labels, other order
    assert fitted.predict(features).equals(polars)
    shuffled = features.to_pandas().sample(frac=1, random_state=0)
    pandas = fitted.predict(shuffled)
    assert isinstance(pandas, pd.DataFrame)
    assert list(pandas.index) == list(shuffled.index)
    np.testing.assert_allclose(pandas["up"].sort_index(), polars["up"], rtol=1e-5, atol=1e-6)
    arrays = fitted.predict({name: test[name].to_numpy() for name in FEATURES})
    np.testing.assert_allclose(arrays["up"], polars["up"], rtol=1e-5, atol=1e-6)
    one = fitted.predict(test[:1])
    assert one["up"][0] == pytest.approx(polars["up"][0], abs=1e-5)


def test_files_and_frames_teach_the_same(split, tmp_path):
    train, test = split
    train.write_parquet(tmp_path / "train.parquet")
    one = learner().fit(train, test).predict(test)
    two = learner().fit(tmp_path / "train.parquet", test).predict(test)
    three = learner().fit(train.to_pandas(), test.to_pandas()).predict(test)
    assert one.equals(two)
    np.testing.assert_allclose(one["up"], three["up"], rtol=1e-6)


def test_tables_on_disk_teach_the_same_as_tables_in_memory(split, tmp_path):
    train, test = split
    train.write_parquet(tmp_path / "train.parquet")
    mapped = learner().fit(tmp_path / "train.parquet", storage=tmp_path / "rows").predict(test)
    assert mapped.equals(learner().fit(train).predict(test))


@pytest.mark.parametrize("sampler", ["proportional", "round_robin", {"name": "uniform", "mixed": True}])
def test_one_table_per_task_with_different_columns(make_world, sampler):
    frame = make_world(rows=900).frame
    sources = {
        "clinic": frame[:300].select(*FEATURES, "yes"),
        "survey": frame[300:700].select(*FEATURES[:3], "up"),  # other rows, fewer features, another task
    }
    fitted = Learner([Binary("yes"), Regression("up")], encoder="mlp", sampler=sampler, training=FAST | {"epochs": 25})
    fitted.fit(sources)
    scores = fitted.evaluate(frame[700:])
    assert scores["yes"].value > 0.85
    assert scores["up"]["r2"] > 0.6
    assert fitted.history[0].train.keys() == {"yes", "up"}


def test_auxiliary_tasks_are_scored_but_predicted_only_on_request(split):
    train, test = split
    fitted = learner(Binary("yes"), Regression("down", role="auxiliary"), exclude=("up",)).fit(train)
    assert fitted.predict(test).columns == ["yes", "yes_probability"]
    assert "down" in fitted.predict(test, auxiliary=True).columns
    assert fitted.evaluate(test)["down"].role == "auxiliary"
    assert "down (auxiliary)" in str(fitted.evaluate(test))


def test_validation_rows_are_drawn_by_the_seed_and_no_label_of_theirs_is_fitted(split):
    train, _ = split
    events = []
    learner().fit(train, listeners=[events.append])
    scale = learner(Regression("up")).fit(train).fitted.targets[0].learned()["units"]
    whole = Regression("up").fit(train).learned()["units"]
    assert scale != whole
    assert sum(isinstance(e, EpochDone) for e in events) == 12


def test_seed_overrides_and_equal_seeds_agree(split):
    train, test = split

    def predict(seed):
        made = Learner([Regression("up")], exclude=["yes", "down"], training=TrainingOptions(epochs=2), seed=seed)
        return made.fit(train).predict(test)

    assert predict(1).equals(predict(1))
    assert not predict(1).equals(predict(2))


def test_a_label_seen_only_later_is_counted_and_no_crash(split):
    train, test = split
    kind = np.where(train["up"].to_numpy() > 0, "big", "small")
    other = np.where(test["up"].to_numpy() > 1, "huge", "small")
    tasks = [Multiclass("kind")]
    train, test = train.with_columns(kind=pl.Series(kind)), test.with_columns(kind=pl.Series(other))
    count = int((other == "huge").sum())
    fitted = Learner(tasks, exclude=["yes", "up", "down"], training=FAST | {"epochs": 2})
    with pytest.warns(UserWarning, match=rf"task 'kind'.*validation table.*'huge' \({count} rows\)"):
        fitted.fit(train, test)
    with pytest.warns(UserWarning, match="the test table"):
        scores = fitted.evaluate(test)
    assert scores["kind"].unseen == {"huge": count}
    assert scores["kind"].rows == len(test) - count


def test_a_task_without_labels_in_the_test_table_is_not_available(split):
    train, test = split
    scores = learner().fit(train).evaluate(test.drop("up"))
    assert scores["up"].rows == 0
    assert np.isnan(scores["up"].value)
    assert "n/a" in str(scores)


def test_mistakes_are_named(split):
    train, test = split
    with pytest.raises(UserError, match="not fitted"):
        learner().predict(test)
    with pytest.raises(DataError, match="Did you mean 'up'"):
        learner(Regression("upp")).fit(train)
    with pytest.raises(DataError, match="'copy' gives the target 'up' away"):
        learner().fit(train.with_columns(copy=pl.col("up") * 2 + 1))
    with pytest.raises(DataError, match="x3"):
        learner().fit(train).predict(test.drop("x3"))
    with pytest.raises(UnknownNameError, match="Did you mean 'mlp'"):
        Learner([Binary("yes")], encoder="mpl")
    with pytest.raises(ConfigError, match=r"encoder\.width"):
        Learner([Binary("yes")], encoder={"name": "mlp", "width": "wide"})
    with pytest.raises(ConfigError, match=r"tasks\[1\]"):
        Learner([Binary("yes"), {"kind": "regression", "name": "up", "wieght": 2}])
    with pytest.raises(ConfigError, match="two tasks"):
        Learner([Binary("yes"), Regression("yes")])
    with pytest.raises(ConfigError, match="at least one task"):
        Learner([])
    with pytest.raises(ConfigError, match="every task is auxiliary"):
        Learner([Binary("yes", role="auxiliary")])
    with pytest.raises(ConfigError, match="expected a list of tasks"):
        Learner("yes")
    with pytest.raises(UnknownNameError, match="no metric"):
        learner().fit(train).evaluate(test)["up"]["auc"]


def test_the_run_folder_holds_the_record(split, tmp_path):
    train, _ = split
    fitted = learner(epochs=3).fit(train, run=tmp_path / "run")
    record = RunRecord.read(tmp_path / "run")
    assert (record.status, record.best_epoch, len(record.history)) == ("finished", fitted.best_epoch, 3)
    assert record.best_epoch_per_task == fitted.best_epoch_per_task
    assert record.train_rows + record.validation_rows == 700
    assert record.parameters == (6 + 1) * 16 + (16 + 1) * 16 + 2 * 17
    epochs = pl.read_csv(tmp_path / "run" / "epochs.csv")
    assert epochs["task"].to_list() == ["yes", "up"] * 3
    assert epochs["validation"].to_list() == [r.validation[t] for r in record.history for t in ("yes", "up")]
    assert pl.read_csv(tmp_path / "run" / "weights.csv").columns == ["epoch", "yes", "up"]
    with pytest.raises(RunError, match="--overwrite"):
        learner().fit(train, run=tmp_path / "run")
    learner(epochs=1).fit(train, run=tmp_path / "run", overwrite=True)
    assert len(RunRecord.read(tmp_path / "run").history) == 1


def test_progress_is_plain_lines_when_nobody_watches(split, capsys):
    learner(epochs=2).fit(split[0], listeners=[ProgressLines("demo")])
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("demo: 2 tasks, ")
    assert lines[1].startswith("epoch 1/2  gain ")
    assert "all epochs done after 2 epochs" in lines[3]
    assert "\x1b" not in err


def test_on_a_terminal_a_bar_that_an_interrupt_does_not_leave_behind(split):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)

    def interrupt(event):
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner(epochs=2).fit(split[0], listeners=[ProgressLines(console=console), interrupt])
    assert "epoch 1/2  gain" in text.getvalue()
    assert text.getvalue().rindex("\x1b[?25h") > text.getvalue().rindex("\x1b[?25l")  # the cursor is shown again


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_tracker_that_is_not_installed_names_its_extra(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # importing it now fails, installed or not
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(MissingExtraError, match=rf"polytask\[{name}\]"):
        TRACKERS[name](tmp_path, {"a": 1})


def test_trackers_are_given_every_known_number_of_an_epoch(split, tmp_path, monkeypatch):
    """Against stand-ins that write down what they are told."""
    told = []
    fake = types.SimpleNamespace(
        init=lambda project, config: types.SimpleNamespace(
            log=lambda numbers, step: told.append((step, numbers)), finish=lambda: told.append("finished")
        )
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    fitted = learner(epochs=2).fit(split[0], listeners=[TRACKERS["wandb"](tmp_path, {})])
    assert [entry[0] for entry in told[:-1]] == [1, 2]
    assert told[0][1]["validation/up"] == fitted.history[0].validation["up"]
    assert told[0][1]["weight/yes"] == 1.0
    assert told[-1] == "finished"


@pytest.mark.filterwarnings("ignore:::tensorboard|google")
def test_tensorboard_writes_event_files(split, tmp_path):
    pytest.importorskip("tensorboard")
    learner(epochs=1).fit(split[0], listeners=[TRACKERS["tensorboard"](tmp_path, {})])
    assert list((tmp_path / "tensorboard").iterdir())


def test_categories_stay_categories_in_every_file(tmp_path):
    """Codes that look like numbers in one file and not in another are the same categories in both."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, 400)
    codes = np.array(["01", "02", "03", "A4"])[which]
    pl.DataFrame({"code": codes, "x": rng.normal(size=400), "y": which + rng.normal(size=400) / 9}).write_csv(
        tmp_path / "train.csv"
    )
    new = pl.DataFrame({"code": ["01"] * 60 + ["A4"], "x": [0.0] * 61})
    new.write_csv(tmp_path / "new.csv")
    learner = Learner([Regression("y")], training={"epochs": 20, "lr": 0.02}).fit(tmp_path / "train.csv")
    found = learner.predict(tmp_path / "new.csv")["y"].to_numpy()
    np.testing.assert_allclose(found[[0, -1]], [0.0, 3.0], atol=0.5)
    assert learner.predict(new)["y"].to_numpy() == pytest.approx(found)


def test_numbers_are_categories_when_the_schema_says_so(tmp_path):
    table = pl.DataFrame({"zone": ["1", "2", "7", "4"] * 50, "y": [0.1 * i for i in range(200)]})
    table.write_csv(tmp_path / "train.csv")
    learner = Learner([Regression("y")], schema={"categorical": ["zone"]}, training={"epochs": 1})
    assert learner.fit(tmp_path / "train.csv").fitted.schema.categories == ("zone",)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"tasks": Binary("a")}, "tasks"),
        ({"tasks": [Binary("a")], "exclude": "abc"}, "exclude"),
        ({"tasks": [Binary("a")], "features": "abc"}, "features"),
        ({"tasks": [Binary("a")], "features": ["b", "a"]}, "features"),
        ({"tasks": [Binary("a")], "training": 3}, "training"),
    ],
)
def test_wrong_types_are_named_at_once(options, place):
    with pytest.raises(ConfigError, match=rf"^{place}: "):
        Learner(**options)


def test_two_tasks_on_one_column_are_predicted_side_by_side():
    frame = pl.DataFrame({"x": [i % 7 for i in range(60)], "n": [(i * 5) % 3 for i in range(60)]})
    both = Learner([Multiclass("kind", columns=["n"]), Regression("size", columns=["n"])], training={"epochs": 1})
    assert both.fit(frame).predict(frame).columns == ["kind.n", "n_p_0", "n_p_1", "n_p_2", "size.n"]


def test_rows_that_cannot_judge_are_refused_before_the_training():
    frame = pl.DataFrame({"x": [i % 7 for i in range(60)], "n": [(i * 5) % 2 for i in range(60)]})
    steps = []
    for table, text in ((frame.drop("x"), "'x'"), (frame.drop("n"), "no usable label")):
        with pytest.raises(DataError, match=f"the test table.*{text}"):
            Learner([Binary("n")]).fit(frame, test=table, listeners=[steps.append])
        with pytest.raises(DataError, match=f"the validation table.*{text}"):
            Learner([Binary("n")]).fit(frame, table, listeners=[steps.append])
    assert not steps
