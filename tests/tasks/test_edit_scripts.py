"""Scripts from words to lemmas."""

from __future__ import annotations

import pytest
from corpora import treebank
from hypothesis import given
from hypothesis import strategies as st

from polytask.tasks.edit_scripts import KnownScripts, Script, cased, casing_of, lower

ODD = "İßŉǰΐΰևẖẞﬁK"  # letters whose other case is longer, or no way back

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
short = st.text("aAbB3" + ODD, min_size=1, max_size=4)


@given(words, words)
def test_a_script_turns_its_word_into_its_lemma(word, lemma):
    assert Script.between(word, lemma).apply(word) == lemma


@given(st.text("aAbBéÉß-3" + ODD, min_size=1, max_size=8), st.text("aAbBéÉß-3" + ODD, min_size=1, max_size=8))
def test_letters_of_many_cases(word, lemma):
    assert Script.between(word, lemma).apply(word) == lemma


@given(st.text("aAbBcC-3", max_size=8))
def test_casing_is_the_inverse_of_small_letters(text):
    assert cased(lower(text), casing_of(text)) == text


@pytest.mark.parametrize(
    ("word", "lemma", "script"),
    [
        ("dogs", "dog", (0, 1, "", "", ())),
        ("Dogs", "dog", (0, 1, "", "", ())),
        ("DOGS", "dog", (0, 1, "", "", ())),
        ("Paris", "Paris", (0, 0, "", "", (0, 1))),
        ("PARIS", "Paris", (0, 0, "", "", (0, 1))),
        ("flies", "fly", (0, 3, "", "y", ())),
        ("gesagt", "sagen", (2, 1, "", "en", ())),
        ("better", "good", (-1, 0, "good", "", ())),
        ("'s", "be", (-1, 0, "be", "", ())),
        ("iPhones", "iPhone", (0, 1, "", "", (1, 2))),
        ("USA", "USA", (0, 0, "", "", (0,))),
    ],
)
def test_scripts_by_hand(word, lemma, script):
    assert Script.between(word, lemma) == script


def test_a_script_goes_over_to_other_words():
    assert Script.between("dogs", "dog").apply("Cats") == "cat"
    assert Script.between("flies", "fly").apply("cries") == "cry"
    assert Script.between("London", "London").apply("PARIS") == "Paris"
    assert Script.between("gesagt", "sagen").apply("gelegt") == "legen"
    assert Script.between("flies", "fly").apply("as") is None
    assert Script.between("dogs", "dog").apply("s") is None  # nothing would be left


def test_every_pair_of_the_english_web_treebank():
    dev = treebank("dev")
    pairs = {p for row in dev.iter_rows(named=True) for p in zip(row["words"], row["lemma"], strict=True)}
    assert len(pairs) > 5000
    assert all(Script.between(word, lemma).apply(word) == lemma for word, lemma in pairs)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6), words)
def test_known_scripts_are_found_by_what_they_give(pairs, word):
    known = KnownScripts(tuple(dict.fromkeys(Script.between(*pair) for pair in pairs)))
    for lemma in {script.apply(word) for script in known.scripts} - {None}:
        one_by_one = [code for code, script in enumerate(known.scripts) if script.apply(word) == lemma]
        assert sorted(known.giving(word, lemma)) == one_by_one


@given(st.lists(st.tuples(short, short), min_size=1, max_size=12), short)
def test_known_scripts_of_few_letters(pairs, word):
    known = KnownScripts(tuple(dict.fromkeys(Script.between(*pair) for pair in pairs)))
    for lemma in {script.apply(word) for script in known.scripts} - {None}:
        one_by_one = [code for code, script in enumerate(known.scripts) if script.apply(word) == lemma]
        assert sorted(known.giving(word, lemma)) == one_by_one
