"""Corpora in columns, JSON lines, tables and saved data sets."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from polytask.data.corpora import read_corpus
from polytask.data.sources import read, scan
from polytask.errors import ConfigError, DataError, UserError

DATA = os.environ.get("POLYTASK_DATA")


def write(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


@pytest.mark.parametrize("mark", ["\t", " ", "   ", "|"])
def test_columns_with_any_separator(mark: str, tmp_path: Path) -> None:
    lines = ["-DOCSTART- O", "", "EU B-ORG", "rejects O", "", "# O", "tag O", "", "", "Peter B-PER"]
    path = write(tmp_path / "a.conll", "\n".join(line.replace(" ", mark) for line in lines))
    frame = read_corpus(path, tasks={"ner": 1}, **({"separator": "|"} if mark == "|" else {}))
    assert frame.to_dict(as_series=False) == {
        "words": [["EU", "rejects"], ["#", "tag"], ["Peter"]],
        "ner": [["B-ORG", "O"], ["O", "O"], ["B-PER"]],
    }
    named = read_corpus(path, tasks={"ner": -1, "text": 0}, **({"separator": "|"} if mark == "|" else {}))
    assert named["text"].to_list() == frame["words"].to_list()


def test_counted_words_and_comments_are_seen(tmp_path: Path) -> None:
    content = (
        "# sent_id = s1\n# text = a b\n1\ta\tO\n2\tb\tB-X\n\n# sent_id = s2\n1\tc\tO\n2-3\tde\t_\n2\td\tO\n3\te\tO\n"
    )
    frame = read_corpus(write(tmp_path / "a.iob2.gz", content), tasks={"ner": 2})
    assert frame["words"].to_list() == [["a", "b"], ["c", "d", "e"]]
    assert frame["ner"].to_list() == [["O", "B-X"], ["O", "O", "O"]]
    assert frame["sent_id"].to_list() == ["s1", "s2"]
    numbers = read_corpus(write(tmp_path / "b.conll", "1999\tO\n7\tB-N\n\n3\tO\n"), tasks={"ner": 1})
    assert numbers["words"].to_list() == [["1999", "7"], ["3"]]


WRONG_COLUMNS = {
    "a O\nb O\nc\n": "line 3: expected 2 columns as in most lines, found 1: 'c'",
    "a b\tO\nb\tO\nc O\n": "line 3: expected 2 columns as in most lines, found 1: 'c O'",
    "a O\n\nb O\nc O x\n": "line 4: expected 2 columns as in most lines, found 3",
}


def test_lines_of_another_width_are_named(tmp_path: Path) -> None:
    for content, message in WRONG_COLUMNS.items():
        with pytest.raises(DataError, match=message):
            read_corpus(write(tmp_path / "a.conll", content))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a O\nb O\n")
    with pytest.raises(DataError, match=r"a.conll: tasks.ner: there is no column '2'.*\n.*Known: 0, 1, words"):
        read_corpus(path, tasks={"ner": 2})
    with pytest.raises(DataError, match="words: there is no column 5; lines have 2 columns"):
        read_corpus(path, words=5)


def test_tasks_and_options_that_nobody_knows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a O\nb O\n")
    with pytest.raises(ConfigError, match=r"labels the task 'nre', which was never declared.\n.*Did you mean 'ner'"):
        read_corpus(path, tasks={"nre": 1}, columns={"ner": ("ner",)})
    with pytest.raises(ConfigError, match=r"expected 1 columns \(ner\), found 2: 0, 1"):
        read_corpus(path, tasks={"ner": [0, 1]}, columns={"ner": ("ner",)})
    with pytest.raises(ConfigError, match=r"format: unknown format 'conl'.\n.*Did you mean 'conll'"):
        read_corpus(path, "conl")
    with pytest.raises(ConfigError, match=r"unknown key 'seperator' of the format conll.\n.*Did you mean 'separator'"):
        read_corpus(path, seperator=" ")
    with pytest.raises(ConfigError, match=r"the ending of 'a\.odt' is no known format"):
        read_corpus(write(tmp_path / "a.odt", "x"))
    with pytest.raises(ConfigError, match="expected a mapping of tasks to columns, found 'ner'"):
        read({"path": path, "tasks": "ner"})


def test_json_lines(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"tokens": ["play", "it"], "slots": ["O", "O"], "intent": "Play"},
        {"tokens": [], "slots": []},
        {"tokens": ["x"], "slots": None, "intent": None, "score": 1},
        {"tokens": ["y"], "slots": ["O"], "score": 1.5},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    frame = read_corpus(path)
    assert frame["words"].to_list() == [["play", "it"], [], ["x"], ["y"]]
    assert frame["slots"].to_list() == [["O", "O"], [], None, ["O"]]
    assert frame["intent"].to_list() == ["Play", None, None, None]
    assert frame["score"].to_list() == [None, None, 1.0, 1.5]
    only = read_corpus(path, tasks={"intent": "intent"}, columns={"intent": ("intent",), "slots": ("slots",)})
    assert "slots" not in only.columns, "a source does not label a task that it does not name"
    assert read_corpus(path, words="slots")["words"].to_list()[0] == ["O", "O"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', "line 2: the line is no JSON"),
        ("[1, 2]", "line 2: expected an object with the columns as keys, found list"),
        ('{"a": "x"}', "key 'a': expected values of one type, found int, str"),
        ('{"a": ["x"]}', "key 'a': expected values of one type, found int, list"),
    ],
)
def test_wrong_json_lines_are_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_corpus(write(tmp_path / "a.jsonl", f'{{"a": 1}}\n{line}\n'))


def test_tables_with_texts(tmp_path: Path) -> None:
    frame = pl.DataFrame({"sentence": ["Good, isn't it?", "Bad"], "mood": ["pos", "neg"]})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    for name in ("a.csv", "a.parquet", "a.arrow"):
        found = read_corpus(tmp_path / name, tasks={"sentiment": "mood"})
        assert found["text"].to_list() == frame["sentence"].to_list()
        assert found["sentiment"].to_list() == ["pos", "neg"]


def test_raw_lines_are_texts_and_give_their_words_to_tasks_that_ask(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n Hello, you. \n\nBye\r\n")
    assert read_corpus(path, "lines").to_dict(as_series=False) == {"text": ["Hello, you.", "Bye"]}
    frame = read_corpus(path, "lines", tasks={"lm": "words"})
    assert frame["lm"].to_list() == frame["words"].to_list() == [["Hello", ",", "you", "."], ["Bye"]]


def test_saved_data_sets_and_their_objects(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-X"])),
            "label": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    content = {"tokens": [["a", "b"], [], ["c"]], "ner_tags": [[0, 1], [], [1]], "label": [1, -1, 0]}
    whole = datasets.Dataset.from_dict(content, features=features)
    some = whole.select([2, 0])
    some.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": whole, "test": some}).save_to_disk(tmp_path / "several")
    expected = {"words": [["c"], ["a", "b"]], "ner": [["B-X"], ["O", "B-X"]], "label": ["no", "yes"]}
    for path, options in ((tmp_path / "one", {}), (tmp_path / "several", {"split": "test"})):
        found = read_corpus(path, tasks={"ner": "ner_tags"}, **options)
        assert found.drop("ner_tags").to_dict(as_series=False) == {k: expected[k] for k in ("words", "label", "ner")}
        assert read({"path": path, **options})["label"].to_list() == ["no", "yes"]
    assert read(whole)["label"].to_list() == ["yes", None, "no"]
    with pytest.raises(DataError, match=r"several splits, and none was named.\n.*Known: test, train"):
        read_corpus(tmp_path / "several")
    with pytest.raises(DataError, match="save_to_disk"):
        read_corpus(tmp_path, "hf")


def test_sources_may_be_described(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "EU B-ORG\n")
    described = {"path": str(path), "format": "conll", "tasks": {"ner": 1}}
    assert read(described).equals(read_corpus(path, tasks={"ner": 1}))
    assert scan(described).collect().equals(read(described))
    assert read(str(path)).equals(read_corpus(path))
    assert read({"path": ["x", "y"], "n": [1, 2]}).columns == ["path", "n"], "a column called path is a column"
    with pytest.raises(UserError, match=r"wnut: .*no such file"):
        read(described | {"path": tmp_path / "b.conll"}, name="wnut")


def test_a_line_of_a_hundred_thousand_characters(tmp_path: Path) -> None:
    long = "x" * 100_000
    path = write(tmp_path / "a.conll", f"{long} O\ny O\n")
    assert read_corpus(path)["words"].to_list() == [[long, "y"]]
    text = json.dumps({"text": "ab " * 33_334})
    assert read_corpus(write(tmp_path / "a.jsonl", text))["text"].str.len_chars().to_list() == [100_002]


@pytest.mark.skipif(DATA is None, reason="POLYTASK_DATA is not set")
@pytest.mark.parametrize(
    ("path", "options", "counts"),
    [
        ("wnut17/wnut17train.conll.gz", {"tasks": {"ner": 1}}, (3394, 62_730)),
        ("wnut17/emerging.test.annotated.gz", {"format": "conll", "tasks": {"ner": 1}}, (1287, 23_394)),
        ("uner_english_ewt/en_ewt-ud-dev.iob2.gz", {"tasks": {"ner": 2}}, (2001, 25_149)),
        ("snips_nlu/snips.test.jsonl.gz", {"tasks": {"slots": "slots", "intent": "intent"}}, (700, None)),
    ],
)
def test_public_corpora_have_the_published_numbers(
    path: str, options: dict[str, Any], counts: tuple[int, int | None]
) -> None:
    frame = read_corpus(Path(str(DATA)) / path, **options)
    task = next(iter(options["tasks"]))
    assert frame.height == counts[0]
    assert counts[1] is None or frame["words"].list.len().sum() == counts[1]
    assert (frame["words"].list.len() == frame[task].list.len()).all()
