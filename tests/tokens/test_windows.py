"""Windows, padding, and where every word is: by a plain reading of the rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.batch import Inputs
from polytask.tokens.assembly import Marks, assembled
from polytask.tokens.encoded import Encoded

BEFORE, BETWEEN, AFTER, PAD, UNKNOWN = 101, 102, 103, 0, 100


def marks(special: bool = True, between: bool = True) -> Marks:
    some = [np.array([code], np.int32) for code in (BEFORE, BETWEEN, AFTER)]
    none = np.empty(0, np.int32)
    first, middle, last = some if special else (none, none, none)
    codes = [np.array(code, np.int32) for code in (PAD, UNKNOWN, 104)]
    return Marks(first, middle if between else none, last, *codes)


def coded(rows: list[list[int]], leads: list[int] | None = None) -> Encoded:
    """Rows of words, each with so many pieces; the codes count the pieces from 1000."""
    sizes = [size for row in rows for size in row]
    return Encoded(
        np.arange(1000, 1000 + sum(sizes), dtype=np.int32),
        np.array(sizes, np.int32),
        np.array([len(row) for row in rows], np.int32),
        None if leads is None else np.array(leads, np.int32),
    )


def check(inputs: Inputs, rows: list[list[int]]) -> None:
    """Every word is there with all its pieces, in a window of its own row."""
    assert inputs.words is not None
    assert inputs.values is not None
    assert inputs.mask is not None
    words, codes = inputs.words, inputs.values.flatten()
    sizes = [size for row in rows for size in row]
    assert words.counts.tolist() == [len(row) for row in rows]
    assert codes[words.pieces].tolist() == list(range(1000, 1000 + sum(sizes)))
    assert words.owner.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()
    begins = np.cumsum([0, *sizes])[:-1]
    assert codes[words.first].tolist() == (1000 + begins).tolist()
    length = inputs.values.shape[1]
    owners = words.window[words.first // length].tolist()
    assert owners == np.repeat(np.arange(len(rows)), [len(row) for row in rows]).tolist()
    assert sorted(set(words.window.tolist())) == list(range(len(rows)))
    assert (codes[~inputs.mask.flatten()] == PAD).all()
    assert inputs.mask.flatten()[words.pieces].all()


def test_short_texts_have_one_window_each() -> None:
    inputs = assembled(coded([[1, 2], [], [1]]), marks(), 0)
    assert inputs.values is not None
    assert inputs.mask is not None
    assert inputs.words is not None
    assert inputs.values.tolist() == [
        [BEFORE, 1000, 1001, 1002, AFTER],
        [BEFORE, AFTER, 0, 0, 0],
        [BEFORE, 1003, AFTER, 0, 0],
    ]
    assert inputs.mask.sum(1).tolist() == [5, 2, 3]
    assert inputs.words.first.tolist() == [1, 2, 11]
    assert len(inputs) == 3


def test_a_text_without_any_token_has_an_unknown_one() -> None:
    inputs = assembled(coded([[], [1], []]), marks(special=False), 0)
    assert inputs.values is not None
    assert inputs.words is not None
    assert inputs.values.tolist() == [[UNKNOWN], [1000], [UNKNOWN]]
    assert inputs.words.counts.tolist() == [0, 1, 0]
    assert inputs.words.first.tolist() == [1]


def test_pairs_have_a_separator_between_their_texts() -> None:
    rows = [[1, 1, 1], [1], [], [2]]
    inputs = assembled(coded(rows, [2, 0, 0, 1]), marks(), 0)
    assert inputs.values is not None
    a, b, c, d = BEFORE, BETWEEN, AFTER, 0
    assert inputs.values.tolist() == [
        [a, 1000, 1001, b, 1002, c],
        [a, b, 1003, c, d, d],
        [a, b, c, d, d, d],
        [a, 1004, 1005, b, c, d],
    ]
    check(inputs, rows)
    assert inputs.words is not None
    assert inputs.words.first.tolist() == [1, 2, 4, 8, 19]


def test_each_word_is_read_where_it_is_farthest_from_an_edge() -> None:
    rows = [[1] * 20]
    inputs = assembled(coded(rows), marks(), 10)  # 8 pieces a window, 2 of them shared
    assert inputs.values is not None
    assert inputs.words is not None
    check(inputs, rows)
    assert [[c for c in row if c >= 1000] for row in inputs.values.tolist()] == [
        list(range(1000, 1008)),
        list(range(1006, 1014)),
        list(range(1012, 1020)),
    ]
    # Word 6 has one word behind it in window 0 and none before it in window 1; word 7 the other way round.
    assert (inputs.words.first // 10).tolist() == [0] * 7 + [1] * 6 + [2] * 7


def test_no_window_is_longer_than_asked_for_and_no_word_is_cut() -> None:
    rows = [[3, 8, 8, 1, 7], [8], [], [1] * 9]
    inputs = assembled(coded(rows), marks(), 10)
    assert inputs.mask is not None
    assert inputs.mask.shape[1] <= 10
    check(inputs, rows)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), max_size=40), min_size=1, max_size=6),
    st.integers(9, 30),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_texts_in_any_windows(rows: list[list[int]], capacity: int, pairs: bool, random: object) -> None:
    leads = [len(row) // 2 for row in rows] if pairs else None
    for special in (True, False):
        window = capacity + 2 * special
        inputs = assembled(coded(rows, leads), marks(special), window)
        assert inputs.mask is not None
        assert inputs.words is not None
        assert inputs.mask.shape[1] <= window
        check(inputs, rows)
        # Windows of one text overlap or touch; each holds something new, so there are never too many of them.
        counts = np.bincount(inputs.words.window.numpy(), minlength=len(rows))
        for row, count in zip(rows, counts.tolist(), strict=True):
            assert count <= max(1, len(row) + pairs)
            assert count == 1 or sum(row) + pairs > capacity


@pytest.mark.parametrize("window", [0, 4])
def test_words_with_characters(window: int) -> None:
    codes = np.arange(15, dtype=np.int32).reshape(5, 3)
    none, one = np.empty((0, 3), np.int32), np.zeros(3, np.int32)
    own = Marks(none, np.full((1, 3), 2, np.int32), none, one, one + 1, one + 2)
    encoded = Encoded(codes, np.ones(5, np.int32), np.array([5, 0], np.int32))
    inputs = assembled(encoded, own, window)
    assert inputs.values is not None
    assert inputs.words is not None
    assert torch.equal(inputs.values.flatten(0, 1)[inputs.words.first], torch.from_numpy(codes).long())
    assert inputs.values[-1, 0].tolist() == [1, 1, 1]
    assert inputs.words.window.tolist() == ([0, 1] if window == 0 else [0, 0, 1])
