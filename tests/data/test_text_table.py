"""Tables of texts: tokens, labels of rows, words and lists, in memory and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from text_targets import Counting, Guessing

from polytask.batch import Ragged
from polytask.data.batches import Batches
from polytask.data.sampling.proportional import Proportional
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.data.token_batches import TokenBatches
from polytask.errors import DataError, RunError
from polytask.tasks.task import Target
from polytask.tokens.words import WordTokenizer

A = pl.DataFrame(
    {
        "words": [["the", "cat"], [], ["a", "cat", "sat"], ["the"]],
        "pos": [[1, 2], [], [3, 4, 5], None],
        "mood": [7.0, 8.0, None, 9.0],
        "spans": [[1, 2, 3], [], None, [4]],
    },
    schema_overrides={"pos": pl.List(pl.Int64), "spans": pl.List(pl.Int64)},
)
B = pl.DataFrame({"words": [["cat", "the"], ["sat"]], "ner": [[6, 7], [8]]})
FRAMES = {"a": A, "b": B}
TASKS = (Counting("pos"), Counting("mood", "row"), Counting("ner"), Counting("spans", "list"))
TARGETS: list[Target] = [task.fit(A) for task in TASKS]
SCHEMA = TextSchema.fit(FRAMES, WordTokenizer(min_count=1))


def plain(labels: torch.Tensor | Ragged) -> list[list[float] | None]:
    assert isinstance(labels, Ragged)
    rows = zip(labels.parts(), labels.counts.tolist(), strict=True)
    return [None if count < 0 else part.flatten().tolist() for part, count in rows]


@pytest.fixture(params=["memory", "mapped"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    if request.param == "memory":
        return Table.encode(FRAMES, SCHEMA, TARGETS)
    Table.encode({"a": A.lazy(), "b": B}, SCHEMA, TARGETS, tmp_path)
    return Table.open(tmp_path)


def test_labels_are_missing_where_a_source_or_a_row_has_none(table: Table) -> None:
    assert table.sources == {"a": range(4), "b": range(4, 6)}
    assert plain(table.labels("pos")) == [[1, 2], [], [3, 4, 5], None, None, None]
    assert plain(table.labels("ner")) == [None, None, None, None, [6, 7], [8]]
    assert plain(table.labels("spans")) == [[1, 2, 3], [], None, [4], None, None]
    mood = table.labels("mood")
    assert isinstance(mood, torch.Tensor)
    torch.testing.assert_close(mood[:, 0], torch.tensor([7.0, 8, np.nan, 9, np.nan, np.nan]), equal_nan=True)
    assert table.labelled_counts() == {"pos": 3, "ner": 2, "spans": 3, "mood": 3}


def test_a_batch_has_its_rows_in_the_order_asked_for(table: Table) -> None:
    batch = table.batch(torch.tensor([4, 1, 2, 0]), "mixed")
    assert len(batch) == len(batch.inputs) == 4
    words = batch.inputs.words
    assert words is not None
    assert words.counts.tolist() == [2, 0, 3, 2]
    assert batch.inputs.values is not None
    codes = batch.inputs.values.flatten(0, 1)[words.first][:, 0].tolist()
    known = {word: code for code, word in enumerate(SCHEMA.vocabulary.words, 3)}  # type: ignore[attr-defined]
    assert codes == [known[w] for w in ("cat", "the", "a", "cat", "sat", "the", "cat")]
    nan = np.nan
    expected = [nan, nan, 3, 4, 5, 1, 2]
    torch.testing.assert_close(batch.targets["pos"][:, 0], torch.tensor(expected), equal_nan=True)
    torch.testing.assert_close(batch.targets["ner"][:, 0], torch.tensor([6, 7] + [nan] * 5), equal_nan=True)
    assert plain(batch.targets.lists["spans"]) == [None, [], None, [1, 2, 3]]


def test_views_compose(table: Table) -> None:
    view = table.take(np.array([0, 2, 3, 5])).take(torch.tensor([1, 3]))
    assert view.sources == {"a": range(1), "b": range(1, 2)}
    assert plain(view.labels("pos")) == [[3, 4, 5], None]
    assert view.labelled_counts() == {"pos": 1, "ner": 1, "spans": 0, "mood": 0}
    assert [counts.tolist() for counts in view.token_counts()] == [[1, 1], [3, 1]]
    batch = view.batch(torch.tensor([1, 0]))
    assert batch.inputs.words is not None
    assert batch.inputs.words.counts.tolist() == [1, 3]


def test_in_order_gives_every_row_once_and_few_tokens_at_a_time(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polytask.data.table.TOKENS", 4)
    batches = list(table.in_order(3))
    assert [len(batch) for batch in batches] == [2, 1, 2, 1]
    labels = torch.cat([batch.targets["pos"] for batch in batches])
    whole = table.batch(torch.arange(6)).targets["pos"]
    torch.testing.assert_close(labels, whole, equal_nan=True)


def test_by_length_gives_every_row_once_with_its_number(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polytask.data.table.TOKENS", 4)
    view = table.take(torch.tensor([0, 1, 2, 4, 5]))
    found = list(view.by_length(3))
    order = torch.cat([rows for rows, _ in found])
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    counts = [words.counts for _, batch in found if (words := batch.inputs.words) is not None]
    assert torch.cat(counts)[order.argsort()].tolist() == [2, 0, 3, 2, 1]
    assert max(batch.inputs.mask.numel() for _, batch in found if batch.inputs.mask is not None) <= 4
    lists = Ragged.cat(batch.targets.lists["spans"] for _, batch in found)[order.argsort()]
    assert plain(lists) == plain(view.labels("spans"))


def test_labels_that_are_not_as_many_as_the_words_are_named() -> None:
    wrong = A.with_columns(pl.Series("pos", [[1, 2], [], [3, 4], [1, 1]]))
    message = r"source 'a': row 3, column 'pos', task 'pos': expected 3 labels, one per word, found 2; 2 rows"
    with pytest.raises(DataError, match=message):
        Table.encode({"a": wrong, "b": B}, SCHEMA, TARGETS)
    with pytest.raises(DataError, match="column 'pos', task 'pos': expected a list of labels"):
        Table.encode({"a": A.with_columns(pl.lit(3).alias("pos"))}, SCHEMA, TARGETS)


def test_a_folder_that_is_not_complete_is_no_table(tmp_path: Path) -> None:
    Table.encode(FRAMES, SCHEMA, TARGETS, tmp_path)
    for path in sorted(tmp_path.glob("*.bin")):
        content = path.read_bytes()
        if content:
            path.write_bytes(content[:-2])
            with pytest.raises(RunError, match="no complete table"):
                Table.open(tmp_path)
            path.write_bytes(content)
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(RunError, match="no complete table"):
        Table.open(tmp_path)


def test_writing_into_a_mapped_table_leaves_its_files_alone(tmp_path: Path) -> None:
    table = Table.encode(FRAMES, SCHEMA, TARGETS, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert table.targets.words is not None
    table.targets.words.zero_()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_hidden_words_are_hidden_and_only_they_are_labelled() -> None:
    rng = np.random.default_rng(0)
    texts = [[str(w) for w in rng.choice(["a", "bb", "ccc", "dddd"], rng.integers(1, 30))] for _ in range(300)]
    frame = pl.DataFrame({"words": texts})
    schema = TextSchema.fit(frame, WordTokenizer(min_count=1))
    target = Guessing("lm", columns=("words",)).fit(frame)
    table = Table.encode({"raw": frame}, schema, [target])
    clear, rows = Table.encode({"raw": frame}, schema, []), torch.arange(300)
    seen = clear.batch(rows).inputs
    assert seen.words is not None
    assert seen.values is not None
    for draw in (None, 5, 6):
        batch = table.batch(rows, draw=draw)
        assert batch.inputs.values is not None
        guessed = ~batch.targets["lm"][:, 0].isnan()
        assert abs(float(guessed.float().mean()) - 0.15) < 0.02
        lengths = torch.tensor([len(w) for words in texts for w in words], dtype=torch.float32)
        assert torch.equal(batch.targets["lm"][guessed, 0], lengths[guessed])
        codes = batch.inputs.values.flatten(0, 1)[seen.words.first]
        truth = seen.values.flatten(0, 1)[seen.words.first]
        assert torch.equal(codes[~guessed], truth[~guessed])
        masked = (codes[guessed][:, 0] == 2).float().mean()
        assert abs(float(masked) - 0.8) < 0.06
        same = (codes[guessed] == truth[guessed]).all(1).float().mean()
        assert abs(float(same) - (0.1 + 0.1 / 4)) < 0.06  # those that stay, and a random word that is the same
        labels = table.labels("lm", draw=draw)
        assert isinstance(labels, Ragged)
        torch.testing.assert_close(labels.values, batch.targets["lm"], equal_nan=True)
        # Another batch with the same draw hides the same words.
        half = table.take(torch.arange(100, 200)).batch(torch.arange(50), draw=draw)
        begin = sum(map(len, texts[:100]))
        torch.testing.assert_close(
            half.targets["lm"], batch.targets["lm"][begin : begin + len(half.targets["lm"])], equal_nan=True
        )
    a, b = (table.labels("lm", draw=draw) for draw in (5, 6))
    assert isinstance(a, Ragged)
    assert isinstance(b, Ragged)
    assert not torch.equal(a.values.isnan(), b.values.isnan())


def test_every_epoch_hides_other_words_and_always_the_same_ones() -> None:
    frame = pl.DataFrame({"words": [["cat"] * 60] * 6})
    schema = TextSchema.fit(frame, WordTokenizer(min_count=1))
    table = Table.encode({"a": frame}, schema, [Guessing("lm", columns=("words",)).fit(frame)])
    for batches in (
        Batches(table, Proportional(), 6, seed=3, epochs=2),
        TokenBatches(table, Proportional(), 1000, seed=3, epochs=2),
    ):
        first, again, later = (next(batches.epoch(epoch)).targets["lm"] for epoch in (0, 0, 1))
        torch.testing.assert_close(first, again, equal_nan=True)
        assert 0 < int((~later.isnan()).sum()) < 120
        assert sorted(first.isnan().tolist()) != sorted(later.isnan().tolist())


def test_nothing_is_hidden_from_other_tasks_where_nothing_is_learned() -> None:
    frame = A.with_columns(pl.Series("words", [["cat"] * 2, [], ["cat"] * 3, ["cat"] * 200]))
    frame = frame.select("words", "pos")
    schema = TextSchema.fit(frame, WordTokenizer(min_count=1))
    targets = [Guessing("lm", columns=("words",)).fit(frame), Counting("pos").fit(frame)]
    table = Table.encode({"a": frame}, schema, targets)
    batch = table.batch(torch.arange(4))
    assert batch.targets["lm"][:5].isnan().all()
    assert not batch.targets["lm"][5:].isnan().all()
    assert [None if own is None else len(own) for own in plain(table.labels("lm"))] == [None, None, None, 200]
    assert [None if own is None else len(own) for own in plain(table.labels("lm", draw=1))] == [2, 0, 3, 200]


def test_texts_of_a_hundred_thousand_characters() -> None:
    frame = pl.DataFrame({"text": ["x" * 100_000, "ab " * 33_334, ""]})
    schema = TextSchema.fit(frame, WordTokenizer())
    table = Table.encode({"a": frame}, schema, [])
    windows, longest = table.token_counts()
    assert longest.tolist() == [1, 512, 1]
    batches = list(table.in_order(100))
    assert [len(batch) for batch in batches] == [1, 1, 1]  # the long text is a batch of its own
    words = batches[1].inputs.words
    assert words is not None
    assert words.counts.tolist() == [33_334]
    assert len(words.window) == windows[1]
