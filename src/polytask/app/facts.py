"""Facts about what can be named in a configuration, read off classes and docstrings; never typed twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from polytask.balancing.contract import Method, Need
from polytask.catalogue import Catalogue, default_of
from polytask.data.sampling import SAMPLERS
from polytask.data.splits import SPLITS
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.tasks import TASKS
from polytask.training.balancers import BALANCERS
from polytask.training.bilevel.contract import Bilevel

CATALOGUES: dict[str, Catalogue[Any]] = {
    "tasks": TASKS,
    "encoders": ENCODERS,
    "sharing": SHARING,
    "balancers": BALANCERS,
    "samplers": SAMPLERS,
    "splits": SPLITS,
}
"""What ``polytask list`` lists, by its plural."""

KEYS = {
    "tasks": "tasks",
    "encoders": "encoder",
    "sharing": "sharing",
    "balancers": "balancer",
    "samplers": "sampler",
    "splits": "data.split",
}
"""The configuration key of each catalogue."""

PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
"""Plain types in words."""

SEES = {
    Need.LOSSES: "losses",
    Need.GRAMIAN: "Gramian",
    Need.JACOBIAN: "Jacobian",
    Need.BILEVEL: "bilevel",
}
"""What a balancer must see, in a word."""

_PARAM = re.compile(r":param ([\w, ]+):\s*(.*?)(?=\n\s*:\w+|\n\s*\n|\s:param |\Z)", re.DOTALL)


@dataclass(frozen=True)
class FieldFacts:
    """One field of a dataclass.

    :param kind: its type, as people write it.
    :param default: as YAML writes it; None: the field is required.
    :param text: what the docstring says about it.
    """

    name: str
    kind: str
    default: str | None
    text: str


def field_facts(cls: type[Any]) -> tuple[FieldFacts, ...]:
    """The fields of a dataclass, with the words of the docstrings of the class and its bases."""
    words, hints = parameter_words(cls), get_type_hints(cls)
    return tuple(
        FieldFacts(
            field.name,
            kind_of(hints[field.name]),
            None if (default := default_of(field)) is dataclasses.MISSING else _yaml(default),
            words.get(field.name, ""),
        )
        for field in dataclasses.fields(cls)
    )


def columns_of(name: str) -> Mapping[str, Callable[[type[Any]], str]]:
    """Further columns of the table of one catalogue: heading -> what it says of a class."""
    if name != "balancers":
        return {}
    return {"sees": _evidence, "backward passes": _passes, "verified against": _verified}


def _evidence(cls: type[Method]) -> str:
    """What a balancer must see of a step."""
    return "as inside" if BALANCERS.nested(cls) else SEES[cls.needs]


def _passes(cls: type[Method]) -> str:
    """What a step of a balancer costs; the engine often does with less."""
    if BALANCERS.nested(cls):
        return "as inside"
    if issubclass(cls, Bilevel):
        return cls.passes
    if cls.needs is Need.LOSSES:
        return "1, and 1 forward" if cls.looks_back else "1"
    return "T + 1, and 1 forward" if cls.n_batches > 1 else "T"


def _verified(cls: type[Method]) -> str:
    """What the tests hold a balancer against."""
    return cls.verified


def parameter_words(cls: type[Any]) -> dict[str, str]:
    """Field -> what ``:param field:`` says; the class itself has the last word."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for names, text in _PARAM.findall(inspect.cleandoc(base.__doc__ or "")):
            found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


def summary(cls: type[Any]) -> str:
    """The first sentence of a docstring."""
    return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def kind_of(hint: Any) -> str:
    """A type in words.

    >>> kind_of(dict[str, float] | None)
    'mapping of number, or null'
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(_yaml(value) for value in inner)
    if origin in (Union, UnionType):
        return ", or ".join(kind_of(part) for part in inner)
    if origin in (tuple, list):
        return f"list of {kind_of(inner[0])}"
    if origin in (dict, Mapping):
        return f"mapping of {kind_of(inner[1])}"
    return PLAIN.get(hint, getattr(hint, "__name__", str(hint)))


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or '""'
    return str(list(value)) if isinstance(value, tuple) else str(value)
