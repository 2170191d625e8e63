"""The generated pages of the docs are those that the classes give today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polytask.app.facts import CATALOGUES, field_facts, kind_of, parameter_words
from polytask.app.pages import COMMAND, pages
from polytask.catalogue import Catalogue

DOCS = Path(__file__).parents[2] / "docs"
VARIANTS = [(name, key, cls) for name, catalogue in CATALOGUES.items() for key, cls in catalogue.items()]


@pytest.mark.parametrize("page", pages())
def test_pages_are_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text("utf-8") == pages()[page], f"run: {COMMAND}"


def test_no_page_is_left_over() -> None:
    for folder in ("reference", "linear"):
        assert {str(p.relative_to(DOCS)) for p in (DOCS / folder).iterdir()} <= set(pages())


@pytest.mark.parametrize(("name", "key", "cls"), VARIANTS)
def test_every_field_is_explained(name: str, key: str, cls: type[Any]) -> None:
    silent = [fact.name for fact in field_facts(cls) if not fact.text]
    assert silent == [], f"{name}: {key}: write :param {silent[:1]}: into the docstring of {cls.__name__}"


@pytest.mark.parametrize("name", CATALOGUES)
def test_every_variant_has_its_section(name: str) -> None:
    catalogue: Catalogue[Any] = CATALOGUES[name]
    for key in catalogue:
        assert f"\n## {key}\n" in pages()[f"reference/{name}.md"]


def test_parameters_are_read_from_docstrings() -> None:
    class Base:
        """One.

        :param a: of the base.
        :param b, c: two at
            once.
        """

    class Child(Base):
        """Two.

        :param a: of the child. :param d: on the same line.
        :raises ValueError: never.
        """

    assert parameter_words(Child) == {
        "a": "of the child.",
        "b": "two at once.",
        "c": "two at once.",
        "d": "on the same line.",
    }


def test_types_in_words() -> None:
    assert kind_of(float) == "number"
    assert kind_of(tuple[str, ...]) == "list of text"
    assert kind_of(int | None) == "whole number, or null"
    assert kind_of(dict[str, float] | None) == "mapping of number, or null"
