"""Catalogues: the variants of one kind (tasks, encoders, balancers, samplers) under their configuration names.

Every variant is a frozen dataclass: its fields are its hyperparameters, its configuration and its equality.
A catalogue is one explicit mapping in the face of its package. From it come the names in YAML, the checks of
types with the path to the wrong key, the tables in the docs and of ``polytask list``, and the generic tests.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from polytask.errors import ConfigError, PolytaskError, UnknownNameError, did_you_mean

V = TypeVar("V")


@dataclass(frozen=True)
class Paper:
    """Where a method comes from."""

    authors: str
    title: str
    venue: str
    year: int

    def __str__(self) -> str:
        return f"{self.authors}. {self.title}. {self.venue} {self.year}."


@dataclass(frozen=True)
class Row:
    """What a table says about one variant; read off its class, never typed twice."""

    name: str
    summary: str
    paper: Paper | None
    fields: tuple[tuple[str, str, str], ...]  # (field, type, default)


class Catalogue(Generic[V]):
    """Variants of one kind by name.

    :param noun: what one variant is called in messages, for example ``"encoder"``.
    :param base: the contract that every variant fulfils.
    :param variants: configuration name -> frozen dataclass.
    :param key: the configuration key that holds the name.
    :param short: name -> the field that may stand behind it, so that ``"hf:FOLDER"`` is ``{name: hf, model: FOLDER}``.
    """

    def __init__(
        self,
        noun: str,
        base: type[V],
        variants: Mapping[str, type[V]],
        *,
        key: str = "name",
        short: Mapping[str, str] | None = None,
    ) -> None:
        self.noun = noun
        self.base = base
        self.key = key
        self._short = dict(short or {})
        self._variants: MutableMapping[str, type[V]] = dict(variants)

    def __or__(self, other: Catalogue[V]) -> Catalogue[V]:
        """The variants of this catalogue and of another, under the noun of this one. It sees what either is given."""
        both: Catalogue[V] = Catalogue(self.noun, self.base, {}, key=self.key)
        both._variants = ChainMap(other._variants, self._variants)  # which walks from the last to the first
        return both

    @contextmanager
    def with_(self, **variants: type[V]) -> Iterator[Catalogue[V]]:
        """The catalogue with more variants, inside a ``with`` block: for tests of variants of your own.

        >>> from dataclasses import dataclass
        >>> animals: Catalogue[object] = Catalogue("animal", object, {})
        >>> with animals.with_(dog=dataclass(type("Dog", (), {}))):
        ...     list(animals)
        ['dog']
        >>> list(animals)
        []
        """
        before = {name: self._variants[name] for name in variants if name in self._variants}
        self._variants.update(variants)
        try:
            yield self
        finally:
            for name in variants:
                del self._variants[name]
            self._variants.update(before)

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants)

    def __contains__(self, name: object) -> bool:
        return name in self._variants

    def items(self) -> Iterator[tuple[str, type[V]]]:
        """Name and class of every variant, in the order of the catalogue."""
        return iter(self._variants.items())

    def find(self, name: str, *, trusted: bool = True) -> type[V]:
        """The class behind ``name``, or behind ``"package.module:Class"`` of a third party.

        :param trusted: False refuses third-party classes, because importing them runs their code.
        """
        if name in self._variants:
            return self._variants[name]
        if name.partition(":")[0] in self._short:
            return self._variants[name.partition(":")[0]]
        if ":" not in name:
            raise UnknownNameError(f"{name!r} is no {self.noun}.", do=did_you_mean(name, self._variants))
        if not trusted:
            raise UnknownNameError(
                f"{name!r} is a third-party {self.noun}; importing it would run its code.",
                do="Pass trust=True (--trust on the command line), if you trust whoever made this folder.",
            )
        module, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UnknownNameError(f"cannot import the {self.noun} {name!r}: {error}.") from error
        if not (inspect.isclass(found) and issubclass(found, self.base)):
            raise UnknownNameError(f"{name!r} is no {self.noun}: it does not derive from {self.base.__name__}.")
        return found

    def name_of(self, variant: V | type[V]) -> str:
        """The configuration name of an instance or class."""
        cls: type = variant if inspect.isclass(variant) else type(variant)
        for name, known in self._variants.items():
            if known is cls:
                return name
        return f"{cls.__module__}:{cls.__qualname__}"

    def build(self, value: V | str | Mapping[str, Any], *, where: str | None = None, trusted: bool = True) -> V:
        """An instance from an instance, a name, or a mapping ``{name: ..., field: value, ...}``.

        :raises ConfigError: unknown field, wrong type or value, with the path to the key.
        :raises UnknownNameError: unknown name, with the nearest one.
        """
        place = where or self.noun
        if isinstance(value, self.base):
            return value
        if isinstance(value, str):
            value = {self.key: value}
        if not isinstance(value, Mapping) or not isinstance(value.get(self.key), str):
            raise ConfigError(
                f"expected a name, or a mapping with the key {self.key!r}, found {value!r}.",
                where=place,
                do=did_you_mean("", self._variants),
            )
        try:
            cls = self.find(value[self.key], trusted=trusted)
        except UnknownNameError as error:
            raise error.at(place) from None
        fields = {k: v for k, v in value.items() if k != self.key}
        head, colon, rest = value[self.key].partition(":")
        if colon and head in self._short:
            fields[self._short[head]] = rest
        inner = self.nested(cls)
        for name in inner & fields.keys():
            fields[name] = self.build(fields[name], where=f"{place}.{name}", trusted=trusted)
        return make(cls, fields, where=place, built=inner)

    def config(self, variant: V) -> dict[str, Any]:
        """The mapping that ``build`` turns back into an equal instance; defaults are left out."""
        inner = {f: self.config(part) for f in self.nested(type(variant)) if (part := getattr(variant, f)) is not None}
        return {self.key: self.name_of(variant)} | changed_fields(variant) | inner

    def nested(self, cls: type[V]) -> set[str]:
        """The fields that hold a variant of this catalogue: variants that wrap another one."""
        hints = get_type_hints(cls)
        kinds = {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # variants are dataclasses
        return {name for name, kind in kinds.items() if inspect.isclass(kind) and issubclass(kind, self.base)}

    def rows(self) -> list[Row]:
        """One row of facts per variant."""
        return [
            Row(
                name=name,
                summary=(inspect.getdoc(cls) or "").split("\n", 1)[0],
                paper=getattr(cls, "paper", None),
                fields=tuple(
                    (f.name, str(f.type), "" if (d := default_of(f)) is dataclasses.MISSING else repr(d))
                    for f in dataclasses.fields(cls)  # type: ignore[arg-type]  # variants are dataclasses
                ),
            )
            for name, cls in self._variants.items()
        ]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a dataclass field, or ``dataclasses.MISSING``."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def changed_fields(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as JSON values."""
    values = {f.name: getattr(instance, f.name) for f in dataclasses.fields(instance)}
    kept = {f.name: values[f.name] for f in dataclasses.fields(instance) if values[f.name] != default_of(f)}
    plain: dict[str, Any] = TypeAdapter(dict[str, Any]).dump_python(kept, mode="json")
    return plain


def make(cls: type[V], fields: Mapping[str, Any], *, where: str, built: Set[str] = frozenset()) -> V:
    """An instance of a frozen dataclass from JSON values, with every type checked.

    :param built: fields whose values are variants already; they are taken as they are.
    :raises ConfigError: with the path to the wrong key.
    """
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # variants are dataclasses
    for key in fields:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}.", where=where, do=did_you_mean(str(key), known))
    try:
        plain = {key: value for key, value in fields.items() if key not in built}
        text = json.dumps(plain, allow_nan=True, default=_refuse)
        if not built:
            return TypeAdapter(cls).validate_json(text, strict=True)
        checked = TypeAdapter(without(cls, built)).validate_json(text, strict=True)
        return cls(**vars(checked), **{key: fields[key] for key in built & fields.keys()})
    except PolytaskError as error:  # raised by the variant's own __post_init__
        raise error.at(where) from None
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, PolytaskError):  # raised by the variant's own __post_init__
            raise own.at(where) from None
        path = ".".join([where, *(str(part) for part in first["loc"])])
        found = "" if first["type"] == "missing" else f", found {first['input']!r}"
        raise ConfigError(f"{first['msg'][:1].lower()}{first['msg'][1:]}{found}.", where=path) from None
    except TypeError as error:
        raise ConfigError(str(error), where=where) from None


def check_types(instance: Any, where: str = "") -> None:
    """Refuse field values of the wrong type, in a ``__post_init__``: Python does not.

    Which words a field takes (``Literal``) is for the class to say, which knows the nearest one.

    :param where: what the fields belong to; default: the name of the class.
    :raises ConfigError: with the name of the class and the field.
    """
    cls: Any = type(instance)
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        try:
            read = _reader(cls, field.name).validate_python(value)
            is_number = isinstance(value, str) and not isinstance(read, str)  # "2" is text
            problem = "Input should not be text" if is_number else ""
        except ValidationError as error:
            first = error.errors()[0]
            problem = "" if first["type"] == "literal_error" else first["msg"]
        if problem:
            place = f"{where or type(instance).__name__}.{field.name}"
            raise ConfigError(f"{problem[:1].lower()}{problem[1:]}, found {value!r}.", where=place)


@cache
def _reader(cls: Any, field: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(get_type_hints(cls)[field])
    except (NameError, PydanticSchemaGenerationError):  # a type of somebody else's that says nothing of itself
        return TypeAdapter(Any)


def without(cls: type[Any], left_out: Set[str]) -> type[Any]:
    """A dataclass with the other fields of ``cls``, and nothing else of it."""
    hints = get_type_hints(cls)
    fields = [
        (f.name, hints[f.name], dataclasses.field(default=f.default, default_factory=f.default_factory))
        for f in dataclasses.fields(cls)
        if f.name not in left_out
    ]
    return dataclasses.make_dataclass(cls.__name__, fields, kw_only=True)


def _refuse(value: object) -> Any:
    raise TypeError(f"expected plain values (text, number, list, mapping), found {type(value).__name__}.")
