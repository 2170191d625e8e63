"""What a chart is on the page, and what all charts look like.

Colours are names of CSS variables, so that light, dark and printed pages are matters of the style sheet alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from polytask.errors import MissingExtraError
from polytask.record.compare import CompareRecord

if TYPE_CHECKING:
    from types import ModuleType

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
DASHES: tuple[list[int], ...] = ([1, 0], [1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4])
FOCUS = "focus == '' || datum.c == focus"


@dataclass(frozen=True)
class Chart:
    """One chart.

    :param title: heading above it.
    :param spec: Vega-Lite, as JSON values; it refers to its rows by name, so that charts of one shape share it.
    :param tables: name -> rows.
    :param text: what it shows, for those who cannot see it.
    """

    title: str
    spec: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]
    text: str


def altair() -> ModuleType:
    """The plotting library.

    :raises MissingExtraError: it is not installed.
    """
    try:
        import altair as found  # optional extra
    except ImportError as error:
        raise MissingExtraError("altair", "report", "The report") from error
    return found


def colour(index: int) -> str:
    """The colour of the contender at this place of the record; the style sheet defines six."""
    return f"var(--c{index % 6})"


def names(record: CompareRecord) -> tuple[str, ...]:
    """The contenders, in the order of their colours."""
    return tuple(contender.name for contender in record.contenders)


def colours(contenders: tuple[str, ...]) -> Any:
    """The colour scale of the contenders, by name."""
    return altair().Scale(domain=list(contenders), range=[colour(i) for i in range(len(contenders))])


def dashes(contenders: tuple[str, ...]) -> Any:
    """The dash scale of the contenders: charts stay readable without colour."""
    return altair().Scale(domain=list(contenders), range=[DASHES[i % len(DASHES)] for i in range(len(contenders))])


def rows_of(table: str) -> Any:
    """A chart on the rows of a table that the page hands in by name."""
    return altair().Chart(altair().NamedData(name=table))


def focus() -> Any:
    """The parameter that the legend of the page sets to highlight one contender in every chart."""
    return altair().param(name="focus", value="")


def finish(chart: Any, height: int) -> dict[str, Any]:
    """The specification of a chart that fills the width of its place."""
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict(validate=False)
    for key in ("$schema", "config"):
        spec.pop(key, None)
    return spec


def plain(value: float, digits: int = 5) -> float | None:
    """A number as JSON with a few significant digits; None when it is not finite."""
    return float(f"{value:.{digits}g}") if isfinite(value) else None
