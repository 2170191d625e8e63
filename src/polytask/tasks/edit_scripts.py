"""Scripts that turn a word into its lemma: what to cut off and put on at both ends, and which letters are capital.

A script is made of the lower-cased word and lemma: around their longest common substring, the word loses ``p`` letters
in front and ``s`` behind, and gets new ones. Words without a common letter are replaced as a whole. How letters are
cased is told of the lemma, from where on they are capital and from where on small.

Straka. UDPipe 2.0 prototype at CoNLL 2018 UD shared task. CoNLL 2018.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple


class Script(NamedTuple):
    """How a word becomes its lemma.

    :param front: letters that go in front; -1: the whole word goes. :param back: letters that go behind.
    :param prefix: what comes in front. :param suffix: what comes behind.
    :param casing: the places in the lemma where capital and small letters begin in turn, small first: ``(0, 1)`` is
        a capital and then small letters, ``()`` all small.
    """

    front: int
    back: int
    prefix: str
    suffix: str
    casing: tuple[int, ...]

    @staticmethod
    def between(word: str, lemma: str) -> Script:
        """The script of a pair.

        >>> Script.between("Ran", "run")
        Script(front=0, back=2, prefix='', suffix='un', casing=())
        >>> Script.between("went", "Go").casing
        (0, 1)
        """
        return _between(word, lemma)

    @property
    def grows(self) -> int:
        """How many letters more the lemma has than the word, if a part of the word stays."""
        return len(self.prefix) + len(self.suffix) - self.front - self.back

    def apply(self, word: str) -> str | None:
        """The lemma; None where the word is too short for what goes.

        >>> Script.between("mice", "mouse").apply("Lice")
        'louse'
        """
        if self.front < 0:
            return cased(self.prefix, self.casing)
        small = lower(word)
        if self.front + self.back > len(small):
            return None
        lemma = self.prefix + small[self.front : len(small) - self.back] + self.suffix
        return cased(lemma, self.casing) if lemma else None


Index = dict[tuple[str, int], list[int]]


@dataclass(frozen=True)
class KnownScripts:
    """Scripts by what they do, to find those that make a lemma of a word.

    :param scripts: the most frequent first.
    """

    scripts: tuple[Script, ...]

    def giving(self, word: str, lemma: str) -> list[int]:
        """Places of all scripts that give this lemma: the one made of the pair first, then the most frequent."""
        small, wanted = lower(word), lower(lemma)
        own = self._places.get(Script.between(word, lemma))
        grown = len(wanted) - len(small)
        behind = ((wanted[start:], grown) for start in range(len(wanted) + 1))
        several = (code for ending in behind for code in self._by_ending.get(ending, ()))
        whole = self._whole.get((wanted, 0), ())
        fits = {code for code in (*several, *whole) if _gives(self.scripts[code], small, wanted, lemma)}
        others = sorted(fits - {own})
        return others if own is None else [own, *others]

    @cached_property
    def _places(self) -> dict[Script, int]:
        return {script: code for code, script in enumerate(self.scripts)}

    @cached_property
    def _by_ending(self) -> Index:
        """The scripts that keep a part of the word, by what they put behind it and how much longer they make it."""
        return _index(((s.suffix, s.grows), code) for code, s in enumerate(self.scripts) if s.front >= 0)

    @cached_property
    def _whole(self) -> Index:
        """The scripts that replace a word, by the lemma in small letters."""
        return _index(((lower(s.prefix), 0), code) for code, s in enumerate(self.scripts) if s.front < 0)


def _index(items: Iterable[tuple[tuple[str, int], int]]) -> Index:
    groups: Index = {}
    for key, code in items:
        groups.setdefault(key, []).append(code)
    return groups


def _gives(script: Script, small: str, wanted: str, lemma: str) -> bool:
    """Whether a script makes ``lemma`` (in small letters ``wanted``) of a word in small letters."""
    if script.front < 0:
        return cased(script.prefix, script.casing) == lemma
    kept = len(small) - script.front - script.back
    return (
        kept >= 0
        and script.grows == len(wanted) - len(small)
        and wanted.endswith(script.suffix)
        and wanted.startswith(script.prefix)
        and wanted[len(script.prefix) : len(script.prefix) + kept] == small[script.front : script.front + kept]
        and _is_cased_as(lemma, wanted, script.casing)
    )


def _is_cased_as(lemma: str, wanted: str, casing: tuple[int, ...]) -> bool:
    """Whether a casing makes ``lemma`` of its small letters ``wanted``; most are told by the first capital."""
    if not casing:
        return lemma == wanted
    first = casing[0]
    if first < len(lemma) and lemma[first] == wanted[first] != upper(wanted[first]):
        return False
    return cased(wanted, casing) == lemma


def lower(text: str) -> str:
    """Small letters, one for one: letters whose small form is longer stay as they are, so that places stay right."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c if len(c.lower()) != 1 else c.lower() for c in text)


def casing_of(lemma: str) -> tuple[int, ...]:
    """Where runs of capital and of small letters begin; signs without a case belong to the run they stand in.

    >>> casing_of("Paris"), casing_of("iPhone"), casing_of("USA"), casing_of("3.5")
    ((0, 1), (1, 2), (0,), ())
    """
    small = lower(lemma)
    places: list[int] = []
    for place, (letter, plain) in enumerate(zip(lemma, small, strict=True)):
        is_capital = letter != plain
        has_case = is_capital or letter.upper() != letter
        if has_case and is_capital != (len(places) % 2 == 1):
            places.append(place)
    return tuple(places)


def cased(small: str, casing: tuple[int, ...]) -> str:
    """Small letters in a casing; the inverse of :func:`casing_of` and :func:`lower`."""
    if not casing:
        return small
    ends = (*casing[1:], len(small))
    parts = [small[: casing[0]]]
    for run, (begin, end) in enumerate(zip(casing, ends, strict=True)):
        part = small[begin:end]
        parts.append(upper(part) if run % 2 == 0 else part)
    return "".join(parts)


def upper(text: str) -> str:
    """Capital letters, one for one."""
    capital = text.upper()
    return capital if len(capital) == len(text) else "".join(c if len(c.upper()) != 1 else c.upper() for c in text)


@lru_cache(maxsize=2**18)
def _between(word: str, lemma: str) -> Script:
    small, wanted, casing = lower(word), lower(lemma), casing_of(lemma)
    if cased(wanted, casing) != lemma:  # letters whose small form is no way back, such as the Kelvin sign
        return Script(-1, 0, lemma, "", ())
    own, new, size = _common(small, wanted)
    if size == 0:
        return Script(-1, 0, wanted, "", casing)
    return Script(own, len(small) - own - size, wanted[:new], wanted[new + size :], casing)


def _common(one: str, other: str) -> tuple[int, int, int]:
    """Where the longest common substring begins in both, and its length; of several, the first in ``one``."""
    if one == other:
        return 0, 0, len(one)
    best = (0, 0, 0)
    before = [0] * (len(other) + 1)
    for i, letter in enumerate(one, 1):
        now = [0] * (len(other) + 1)
        for j, wanted in enumerate(other, 1):
            if letter == wanted:
                now[j] = before[j - 1] + 1
                if now[j] > best[2]:
                    best = (i - now[j], j - now[j], now[j])
        before = now
    return best
