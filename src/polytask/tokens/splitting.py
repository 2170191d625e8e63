"""Raw text as words."""

from __future__ import annotations

import polars as pl

_PART = r"(?:\d+(?:[.,:]\d+)*|[^\s\p{P}\p{S}]|_)+"
WORD = rf"{_PART}(?:['’]{_PART})*|[\p{{P}}\p{{S}}][\p{{M}}\x{{200D}}]*"
"""A word with the signs that stay inside it (the apostrophe of *don't*, the point of *3.14*), or a sign."""


def split_texts(texts: pl.Series) -> pl.Series:
    """The words of every text, as lists; see :func:`split_words`. A missing text has none."""
    return texts.cast(pl.String).fill_null("").str.extract_all(WORD)


def split_words(text: str) -> list[str]:
    """The words of a text and its punctuation marks, each a word of its own.

    It knows no language: blanks part words, and so does every sign of punctuation, except an apostrophe between letters
    and a point, comma or colon between digits.

    >>> split_words("Don't pay 3.50, (he said)!")
    ["Don't", 'pay', '3.50', ',', '(', 'he', 'said', ')', '!']
    >>> split_words("  ")
    []
    """
    words: list[str] = split_texts(pl.Series([text])).to_list()[0]
    return words
