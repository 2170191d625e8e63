"""Catalogues joined, and catalogues with variants for a while."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from polytask.catalogue import Catalogue
from polytask.errors import UnknownNameError


@dataclass(frozen=True)
class Animal:
    """An animal."""

    legs: int = 4


@dataclass(frozen=True)
class Dog(Animal):
    """A dog."""


@dataclass(frozen=True)
class Cat(Animal):
    """A cat."""


def test_two_catalogues_are_one_list_that_sees_what_either_is_given():
    tame, wild = Catalogue("animal", Animal, {"dog": Dog}), Catalogue("beast", Animal, {"cat": Cat})
    both = tame | wild
    assert (list(both), both.noun) == (["dog", "cat"], "animal")
    assert both.build("cat") == Cat()
    assert both.config(Cat(3)) == {"name": "cat", "legs": 3}
    with tame.with_(wolf=Dog):
        assert list(both) == ["dog", "wolf", "cat"]
    assert list(tame) == ["dog"]
    with pytest.raises(UnknownNameError, match="cat"):
        tame.build("cat")


def test_variants_for_a_while_give_way_to_those_before():
    tame = Catalogue("animal", Animal, {"dog": Dog})
    with tame.with_(dog=Cat, cat=Cat):
        assert tame.build("dog") == Cat()
    assert dict(tame.items()) == {"dog": Dog}
