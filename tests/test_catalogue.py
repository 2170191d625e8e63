"""Catalogues joined, and catalogues with variants for a while."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from polytask.catalogue import Catalogue, check_types
from polytask.errors import ConfigError, UnknownNameError


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


@dataclass(frozen=True)
class Zoo:
    """Fields of every plain type."""

    size: int = 1
    price: float = 1.0
    names: tuple[str, ...] = ()
    owner: str | None = None

    def __post_init__(self) -> None:
        check_types(self)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 2.5}, r"Zoo\.size: .*fractional part, found 2\.5"),
        ({"size": "2"}, r"Zoo\.size: input should not be text, found '2'"),
        ({"price": "x"}, r"Zoo\.price: .*found 'x'"),
        ({"price": None}, r"Zoo\.price"),
        ({"names": "ab"}, r"Zoo\.names"),
        ({"names": [1]}, r"Zoo\.names"),
        ({"owner": 3}, r"Zoo\.owner"),
    ],
)
def test_values_of_the_wrong_type_are_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        Zoo(**fields)


def test_numbers_of_numpy_and_lists_are_welcome():
    zoo = Zoo(np.int64(3), np.float32(2), ["a"], "b")
    assert (zoo.size, zoo.price, zoo.owner) == (3, 2.0, "b")
