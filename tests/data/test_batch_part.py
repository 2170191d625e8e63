"""A part of a batch of texts is the batch of a part of the rows."""

from __future__ import annotations

import polars as pl
import pytest
import torch
from text_targets import Counting

from polytask.batch import Words
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.tokens.words import WordTokenizer

FRAME = pl.DataFrame(
    {
        "words": [["the", "cat"], [], ["a", "cat", "sat"], ["the"], ["sat", "the", "a", "cat"]],
        "pos": [[1, 2], [], [3, 4, 5], None, [6, 7, 8, 9]],
        "mood": [7.0, 8.0, None, 9.0, 1.0],
        "spans": [[1, 2, 3], [], None, [4], [5]],
    },
    schema_overrides={"pos": pl.List(pl.Int64), "spans": pl.List(pl.Int64)},
)
TARGETS = [task.fit(FRAME) for task in (Counting("pos"), Counting("mood", "row"), Counting("spans", "list"))]
TABLE = Table.encode({"a": FRAME}, TextSchema.fit({"a": FRAME}, WordTokenizer(min_count=1)), TARGETS)


@pytest.mark.parametrize("rows", [[0, 2], [4, 1, 3], [1], [], [0, 1, 2, 3, 4]])
def test_rows_of_texts_with_their_words_and_labels(rows: list[int]) -> None:
    chosen = torch.tensor(rows, dtype=torch.int64)
    part = TABLE.batch(torch.arange(5)).take(chosen)
    assert len(part) == len(part.inputs) == len(rows)
    assert part.inputs.words is not None
    assert part.inputs.values is not None
    if not rows:
        assert part.inputs.words.first.tolist() == []
        return
    alone = TABLE.batch(chosen)
    assert alone.inputs.words is not None
    assert alone.inputs.values is not None
    for one in ("counts", "owner", "window"):
        assert torch.equal(getattr(part.inputs.words, one), getattr(alone.inputs.words, one))
    for places in ("first", "pieces"):  # the part keeps the width of the whole batch, so places differ, tokens do not
        found = [
            batch.inputs.values.flatten(0, 1)[getattr(batch.inputs.words, places)]  # type: ignore[union-attr]
            for batch in (part, alone)
        ]
        assert torch.equal(*found)
    torch.testing.assert_close(part.targets["pos"], alone.targets["pos"], equal_nan=True)
    torch.testing.assert_close(part.targets["mood"], alone.targets["mood"], equal_nan=True)
    spans = [batch.targets.lists["spans"] for batch in (part, alone)]
    assert torch.equal(spans[0].counts, spans[1].counts)
    assert torch.equal(spans[0].values, spans[1].values)


def test_texts_of_several_windows_and_words_of_several_pieces() -> None:
    """By hand: rows of 2, 1 and 2 words; the first row lies in two windows of 4 tokens."""
    words = Words(
        first=torch.tensor([0, 5, 8, 12, 14]),
        pieces=torch.tensor([0, 1, 5, 8, 9, 12, 13, 14]),
        owner=torch.tensor([0, 0, 1, 2, 2, 3, 3, 4]),
        counts=torch.tensor([2, 1, 2]),
        window=torch.tensor([0, 0, 1, 2]),
    )
    kept, windows = words.take(torch.tensor([2, 0]), 4)
    assert words.of(torch.tensor([2, 0])).tolist() == [3, 4, 0, 1]
    assert windows.tolist() == [3, 0, 1]
    assert kept.window.tolist() == [0, 1, 1]
    assert kept.counts.tolist() == [2, 2]
    assert kept.first.tolist() == [0, 2, 4, 9]
    assert kept.pieces.tolist() == [0, 1, 2, 4, 5, 9]
    assert kept.owner.tolist() == [0, 0, 1, 2, 2, 3]
