"""Every exception of the house, and the search for the word that was meant.

A message for the user has four parts: what went wrong (expected and found), where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PolytaskError(Exception):
    """Base of every exception that Polytask raises on purpose.

    :param what: what is wrong, in one sentence: expected and found.
    :param where: the file, column, row, task or configuration key.
    :param do: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.do}" if self.do else head

    def at(self, where: str) -> PolytaskError:
        """The same error with ``where`` put before the place already known.

        >>> str(PolytaskError("expected a number.", where="training.lr").at("compare.contenders.wide.training"))
        'compare.contenders.wide.training.lr: expected a number.'
        """
        head, dot, last = where.rpartition(".")
        own = self.where or ""
        if own == last or (last and own.startswith((f"{last}.", f"{last}["))):
            self.where = f"{head}{dot}{own}"
        elif own != where and not own.startswith((f"{where}.", f"{where}:", f"{where},", f"{where}[")):
            self.where = f"{where}{'' if not own or own.startswith('[') else ': '}{own}"
        return self


class UserError(PolytaskError, ValueError):
    """Something given by the user cannot be used; the command line exits with 2."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration key or value is wrong."""


class DataError(UserError):
    """A table, column or value is wrong."""


class TaskError(UserError):
    """A task cannot be learned from the labels that were given."""


class UnknownNameError(UserError):
    """A name is in no catalogue."""


class MissingExtraError(UserError):
    """An optional extra is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            do=f'Install it with: pip install "polytask[{extra}]"',
        )


class RunError(UserError):
    """A run folder or artefact cannot be read or written."""


class TrainingError(PolytaskError):
    """Training cannot go on (for example, a loss was not finite too often)."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A sentence that offers the nearest of ``options``, or lists them all.

    >>> did_you_mean("equl", ["equal", "dwa"])
    "Did you mean 'equal'? Known: dwa, equal."
    """
    known = sorted(options)
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    listing = "Known: " + (", ".join(known[:20]) + (", ..." if len(known) > 20 else "") if known else "none") + "."
    return f"Did you mean {near[0]!r}? {listing}" if near else listing


def plural(n: int, noun: str) -> str:
    """A count in words.

    >>> plural(1, "task"), plural(2000, "row"), plural(2, "process")
    ('1 task', '2,000 rows', '2 processes')
    """
    return f"{n:,} {noun}" + ("" if n == 1 else "es" if noun.endswith("s") else "s")
