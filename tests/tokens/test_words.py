"""Words and their characters as codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.errors import ConfigError
from polytask.tokens.saved import read_vocabulary
from polytask.tokens.splitting import split_words
from polytask.tokens.words import FIRST, MASK, PAD, UNKNOWN, WordTokenizer

SENTENCES = [["The", "cat", "the", "Dog"], [], ["the", "dog", "abcdefghijk"]]


def test_codes_are_ranks_by_frequency() -> None:
    vocabulary = WordTokenizer(min_count=2, characters=4).fit(SENTENCES)
    assert vocabulary.words == ("the", "dog")  # ties in the order of the alphabet
    assert vocabulary.spec.vocabulary == 2 + FIRST
    assert vocabulary.spec.characters == len(set("".join("".join(s) for s in SENTENCES))) + FIRST
    encoded = vocabulary.encode(SENTENCES)
    assert encoded.codes[:, 0].tolist() == [3, UNKNOWN, 3, 4, 3, 4, UNKNOWN]
    assert encoded.word_counts.tolist() == [4, 0, 3]
    assert encoded.piece_counts.tolist() == [1] * 7


def test_characters_of_long_words_are_those_of_both_ends() -> None:
    vocabulary = WordTokenizer(characters=5).fit(SENTENCES)

    def letters(word: str) -> str:
        codes = vocabulary.encode([[word]]).codes[0, 1:]
        return "".join({PAD: "", UNKNOWN: "?"}.get(code, vocabulary.letters[code - FIRST]) for code in codes.tolist())

    assert [letters(w) for w in ("abcdefghijk", "the", "", "abcde", "th€")] == ["abcjk", "the", "", "abcde", "th?"]


def test_case_is_kept_if_asked_for() -> None:
    assert WordTokenizer(min_count=1, lower=False).fit(SENTENCES).words[:2] == ("the", "Dog")
    assert WordTokenizer(min_count=1, max_words=1).fit(SENTENCES).words == ("the",)


def test_a_vocabulary_of_nothing_still_codes() -> None:
    vocabulary = WordTokenizer().fit([])
    assert vocabulary.encode([["a", "b"]]).codes[:, 0].tolist() == [UNKNOWN, UNKNOWN]
    assert vocabulary.drawn(np.array([5, 9], np.uint64))[:, 0].tolist() == [UNKNOWN, UNKNOWN]
    assert len(vocabulary.encode([])) == 0


def test_json_holds_all_of_it() -> None:
    vocabulary = WordTokenizer(min_count=1, characters=7, lower=False, window=9).fit([*SENTENCES, ["naïve", "日本"]])
    again = read_vocabulary(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert again.digest == vocabulary.digest
    assert np.array_equal(again.encode(SENTENCES).codes, vocabulary.encode(SENTENCES).codes)


def test_damaged_json_is_explained() -> None:
    mapping = WordTokenizer().fit(SENTENCES).to_json()
    with pytest.raises(ConfigError, match=r"vocabulary: unknown kind 'word'.\n.*Did you mean 'words'"):
        read_vocabulary(mapping | {"kind": "word"})
    with pytest.raises(ConfigError, match="the vocabulary is damaged"):
        read_vocabulary({key: value for key, value in mapping.items() if key != "letters"})


@pytest.mark.parametrize("field", ["min_count", "max_words", "characters", "window"])
def test_impossible_choices_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: expected at least"):
        WordTokenizer(**{field: 0})


def test_random_pieces_are_words_with_their_characters() -> None:
    vocabulary = WordTokenizer(min_count=1).fit(SENTENCES)
    drawn = vocabulary.drawn(np.random.default_rng(0).integers(0, 2**63, 200).astype(np.uint64))
    assert set(drawn[:, 0].tolist()) == set(range(FIRST, FIRST + len(vocabulary.words)))
    whole = vocabulary.encode([vocabulary.words]).codes
    assert np.array_equal(drawn, whole[drawn[:, 0] - FIRST])
    assert vocabulary.marks.mask[:3].tolist() == [MASK, MASK, PAD]


@given(st.text())
def test_splitting_loses_blanks_only(text: str) -> None:
    words = split_words(text)
    kept = "".join(words)
    assert all(words)
    assert set(text) - set(kept) <= {c for c in text if c.isspace() or not c.isprintable()} | set("\u200d")


def test_splitting_keeps_what_belongs_together() -> None:
    assert split_words("a_b isn’t 1,000.5 U.S. (x)") == ["a_b", "isn’t", "1,000.5", "U", ".", "S", ".", "(", "x", ")"]
    assert split_words("हिन्दी naïve 日本") == ["हिन्दी", "naïve", "日本"]
    assert len(split_words("x" * 100_000)) == 1
    assert len(split_words("! " * 50_000)) == 50_000
