"""Raw text as words."""

from __future__ import annotations

import re
from unicodedata import category

INSIDE = re.compile(r"(?<=\w)['’](?=\w)|(?<=\d)[.,:](?=\d)")
"""Signs that stay inside a word: the apostrophe of *don't*, the point of *3.14*."""


def split_words(text: str) -> list[str]:
    """The words of a text and its punctuation marks, each a word of its own.

    It knows no language: blanks part words, and so does every sign of punctuation, except an apostrophe between letters
    and a point, comma or colon between digits.

    >>> split_words("Don't pay 3.50, (he said)!")
    ["Don't", 'pay', '3.50', ',', '(', 'he', 'said', ')', '!']
    >>> split_words("  ")
    []
    """
    return [word for part in text.split() for word in ([part] if part.isalnum() else _parts(part))]


def _parts(part: str) -> list[str]:
    """A stretch without blanks, cut at its signs."""
    inside = {match.start() for match in INSIDE.finditer(part)}
    words, begin = [], 0
    for at, sign in enumerate(part):
        if category(sign)[0] in "PS" and sign != "_" and at not in inside:
            if begin < at:
                words.append(part[begin:at])
            words.append(sign)
            begin = at + 1
    if begin < len(part):
        words.append(part[begin:])
    return words
