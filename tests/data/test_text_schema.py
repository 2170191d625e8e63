"""Which columns hold the text, and what is remembered of them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from text_targets import Counting, Guessing

from polytask.batch import Ragged
from polytask.data.saved import read_schema
from polytask.data.schema import Schema
from polytask.data.table import Table
from polytask.data.text import cache
from polytask.data.text.schema import TextSchema
from polytask.errors import ConfigError, DataError
from polytask.tokens.words import WordTokenizer

WORDS = pl.DataFrame({"words": [["a", "cat"], None, ["the", None, "cat"]], "pos": [[1, 2], None, [3, 4, 5]]})
RAW = pl.DataFrame({"text": ["A cat.", None, ""], "mood": [1.0, 2.0, 3.0]})
PAIRS = pl.DataFrame({"a": ["one two", ""], "b": [["x"], ["y", "z"]]})
TOKENIZER = WordTokenizer(min_count=1)


def counts(schema: TextSchema, frame: pl.DataFrame) -> list[int]:
    words = schema.encode(frame).words
    assert words is not None
    return [int(count) for count in words.counts]


def test_words_raw_text_and_pairs() -> None:
    assert counts(TextSchema.fit(WORDS, TOKENIZER), WORDS) == [2, 0, 3]
    assert counts(TextSchema.fit(RAW, TOKENIZER), RAW) == [3, 0, 0]
    pairs = TextSchema.fit(PAIRS, TOKENIZER, ("a", "b"))
    assert counts(pairs, PAIRS) == [3, 2]
    values = pairs.encode(PAIRS).values
    assert values is not None
    letters = pairs.vocabulary.words  # type: ignore[attr-defined]
    shown = [[letters[code - 3] if code > 2 else code for code in row] for row in values[..., 0].tolist()]
    assert shown == [["one", "two", 2, "x"], [2, "y", "z", 0]]


def test_sources_may_keep_words_or_text() -> None:
    sources = {"words": WORDS, "raw": RAW.rename({"text": "words"}).lazy(), "other": RAW}
    schema = TextSchema.fit(sources, TOKENIZER)
    assert schema.text == schema.names == ("words",)
    assert set(schema.vocabulary.words) == {"cat", ".", "a", "the", ""}  # type: ignore[attr-defined]
    table = Table.encode(sources, schema, [Counting("mood", "row").fit(RAW), Counting("pos").fit(WORDS)])
    assert table.labelled_counts() == {"mood": 6, "pos": 2}
    assert schema.with_words(RAW)["words"].to_list() == [["A", "cat", "."], [], []]


def test_tasks_read_the_words_of_raw_text() -> None:
    schema = TextSchema.fit(RAW, TOKENIZER)
    table = Table.encode({"raw": RAW}, schema, [Guessing("lm", columns=("words",)).fit(RAW)])
    labels = table.labels("lm", draw=1)
    assert isinstance(labels, Ragged)
    assert labels.counts.tolist() == [3, 0, 0]


def test_json_gives_it_back() -> None:
    schema = TextSchema.fit(PAIRS, TOKENIZER, ("a", "b"))
    again = read_schema(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    columns = Schema.fit(pl.DataFrame({"x": [1.5, 2.5], "y": [0.1, 0.2]}))
    assert read_schema(json.loads(json.dumps(columns.to_json()))) == columns
    with pytest.raises(ConfigError, match=r"schema.version: .* of version 7"):
        read_schema(schema.to_json() | {"version": 7})
    with pytest.raises(ConfigError, match="expected the keys text, vocabulary and notes"):
        read_schema({key: value for key, value in schema.to_json().items() if key != "vocabulary"})


def test_columns_that_are_no_text_are_named() -> None:
    schema = TextSchema.fit(WORDS, TOKENIZER)
    with pytest.raises(DataError, match=r"there is no column 'words', which held the text in training.\n.*'word'"):
        schema.encode(pl.DataFrame({"word": ["a"]}))
    with pytest.raises(DataError, match="column 'words', row 2: expected text or lists of words, found the type Int64"):
        schema.encode(pl.DataFrame({"words": [None, 3]}))
    with pytest.raises(DataError, match=r"text: there is no column 'txt' that holds the text.\n.*Did you mean 'text'"):
        TextSchema.fit(RAW, TOKENIZER, "txt")
    with pytest.raises(DataError, match="source 'b': there is no column 'words'"):
        TextSchema.fit({"a": WORDS, "b": pl.DataFrame({"x": [1]})}, TOKENIZER)
    with pytest.raises(ConfigError, match="expected one column of text, or two of a pair, found 3"):
        TextSchema.fit(PAIRS, TOKENIZER, ("a", "b", "a"))


def test_labels_of_words_need_texts() -> None:
    frame = pl.DataFrame({"x": [1.5, 2.5], "pos": [[1], [2]]})
    with pytest.raises(DataError, match=r"task 'pos': its labels belong to words, and the table has columns"):
        Table.encode({"a": frame}, Schema.fit(frame, exclude=["pos"]), [Counting("pos").fit(frame)])


def test_a_lazy_corpus_in_pieces_is_the_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = [["w" * (1 + i % 7)] * (i % 5) for i in range(103)]
    frame = pl.DataFrame({"words": texts, "pos": [[i] * (i % 5) for i in range(103)]})
    schema = TextSchema.fit(frame, TOKENIZER)
    target = Counting("pos").fit(frame)
    whole = Table.encode({"a": frame}, schema, [target])
    monkeypatch.setattr("polytask.data.text.encode.PIECE", 10)
    frame.write_parquet(tmp_path / "a.parquet")
    parts = Table.encode({"a": pl.scan_parquet(tmp_path / "a.parquet")}, schema, [target], tmp_path / "table")
    rows = torch.arange(103)
    one, other = whole.batch(rows), parts.batch(rows)
    assert one.inputs.values is not None
    assert other.inputs.values is not None
    assert torch.equal(one.inputs.values, other.inputs.values)
    assert torch.equal(one.targets["pos"], other.targets["pos"])


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache for everything, however small."""
    monkeypatch.setattr(cache, "ENOUGH", 0)
    monkeypatch.setattr("polytask.tokens.words.WordVocabulary.slow", True)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.mark.parametrize("frame", [WORDS, RAW, PAIRS], ids=["words", "raw", "pairs"])
def test_codes_are_kept_and_found_again(frame: pl.DataFrame, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("a", "b") if "a" in frame.columns else None
    schema = TextSchema.fit(frame, TOKENIZER, columns)
    first = Table.encode({"a": frame}, schema, []).batch(torch.arange(frame.height)).inputs
    assert len(list(kept.iterdir())) == 1
    assert pl.read_ipc(next(kept.iterdir())).height == frame.height  # anybody can read it
    monkeypatch.setattr("polytask.tokens.words.WordVocabulary.pieces", None)
    again = Table.encode({"a": frame}, schema, []).batch(torch.arange(frame.height)).inputs
    assert first.values is not None
    assert again.values is not None
    assert torch.equal(first.values, again.values)


def test_other_words_or_another_vocabulary_are_coded_anew(kept: Path) -> None:
    schema = TextSchema.fit(WORDS, TOKENIZER)
    for frame in (WORDS, WORDS.reverse(), WORDS[:1], pl.DataFrame({"words": [["ac", "at"]]})):
        Table.encode({"a": frame}, schema, [])
    assert len(list(kept.iterdir())) == 4
    Table.encode({"a": WORDS}, TextSchema.fit(WORDS, WordTokenizer(min_count=1, window=9)), [])
    assert len(list(kept.iterdir())) == 5


def test_a_damaged_cache_is_written_again(kept: Path) -> None:
    schema = TextSchema.fit(WORDS, TOKENIZER)
    Table.encode({"a": WORDS}, schema, [])
    path = next(kept.iterdir())
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"nonsense" * 50):
        path.write_bytes(damage)
        assert len(Table.encode({"a": WORDS}, schema, [])) == 3
        assert path.read_bytes() == whole


def test_the_cache_can_be_switched_off_and_need_not_be_writable(
    kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schema = TextSchema.fit(WORDS, TOKENIZER)
    (tmp_path / "file").write_text("no folder")
    for value in ("off", "", str(tmp_path / "file")):
        monkeypatch.setenv(cache.VARIABLE, value)
        assert len(Table.encode({"a": WORDS}, schema, [])) == 3
    assert not kept.exists()
    monkeypatch.delenv(cache.VARIABLE)
    assert cache.cache_folder() == Path.home() / ".cache" / "polytask"
