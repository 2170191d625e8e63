"""YAML text as plain values: YAML 1.2 words, no doubled keys, and an error that says line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from polytask.errors import ConfigError, did_you_mean

DEPTH = 40
"""Nesting beyond this is no configuration."""
SIZE = 100_000
"""Values beyond this are no configuration (aliases multiply)."""


class Loader(yaml.SafeLoader):
    """YAML as people expect it: ``1e-3`` is a number, ``no`` and ``2024-01-31`` are words, no key occurs twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the name and form that PyYAML looks for
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rsplit(":", 1)[-1] not in ("bool", "float", "int", "timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def _decimal(loader: Loader, node: yaml.ScalarNode) -> int:
    """A whole number; 010 is ten."""
    return int(loader.construct_scalar(node))


Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


class Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or 1.2 would take for something else than text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the name and form that PyYAML looks for
        first: [*Loader.yaml_implicit_resolvers.get(first, []), *yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])]
        for first in {*Loader.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is written as an alias of something above."""
        return True


def _text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    """Text; line breaks that only Unicode knows are escaped, because unquoted ones would become blanks."""
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if set(text) & set("\x85\u2028\u2029") else None
    )


Dumper.add_representer(str, _text)


def dumped(value: Any, *, flow: bool = False) -> str:
    """Plain values as YAML text that :func:`plain_values` turns back.

    :param flow: on one line, as a part of a line.
    """
    text: str = yaml.dump(
        value,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=flow,
        width=10_000 if flow else 100,
    )
    return text.removesuffix("...\n").strip() if flow else text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    :raises ConfigError: not readable; or with line and column where it stops being YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        do = did_you_mean(path.name, there) if there else "Write one with: polytask init TABLE --targets a,b,c"
        raise ConfigError("there is no such file.", where=str(path), do=do) from None
    except IsADirectoryError:
        raise ConfigError("expected a YAML file, found a folder.", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read as UTF-8 text: {error}.", where=str(path)) from None
    return parsed(text, str(path))


def parsed(text: str, where: str) -> dict[str, Any]:
    """The mapping in YAML text, as plain values.

    :raises ConfigError: no YAML, or no mapping.
    """
    value = plain_values(text, where)
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"{type(value).__name__}"
        raise ConfigError(f"expected a mapping (key: value), found {found}.", where=where)
    return value


def plain_values(text: str, where: str) -> Any:
    """YAML text as text, numbers, lists and mappings.

    :raises ConfigError: with line and column where it stops being YAML.
    """
    try:
        return _Plain(where).copy(yaml.load(text, Loader), 0)  # it derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        do = "Indent with spaces." if "\\t" in str(error.problem) else None
        raise ConfigError(f"not valid YAML: {error.problem or error.context}.", where=place, do=do) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ConfigError(f"not valid YAML: {reason}.", where=where) from None


class _Plain:
    """Copies values, and refuses what is too deep, too large, or no plain value."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.count = 0

    def copy(self, value: Any, depth: int) -> Any:
        self.count += 1
        if depth > DEPTH or self.count > SIZE:
            raise ConfigError("too deep or too large for a configuration.", where=self.where)
        if isinstance(value, Mapping):
            return {self._key(key): self.copy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.copy(inner, depth + 1) for inner in value]
        if value is None or isinstance(value, str | int | float):
            return value
        raise ConfigError(f"expected plain values, found {type(value).__name__} ({value!r:.40}).", where=self.where)

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        raise ConfigError(f"expected names as keys, found {key!r:.40}.", where=self.where)


def overridden(raw: Mapping[str, Any], override: str) -> dict[str, Any]:
    """``raw`` with one ``a.b=value`` applied; the value is read as YAML.

    A word in the way becomes a mapping: with ``encoder: mlp``, ``encoder.width=16`` gives ``encoder: {name: mlp,
    width: 16}``; with ``tasks: {churn: binary}``, ``tasks.churn.weight=2`` gives ``churn: {kind: binary, weight: 2}``.

    :raises ConfigError: not of that form.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"expected key=value, found {override!r}.", where="--set", do="For example: --set training.epochs=5"
        )
    path = key.strip().split(".")
    return _put(raw, path, plain_values(text, f"--set {key}"), key, word="kind" if path[0] == "tasks" else "name")


def _put(raw: Mapping[str, Any], path: list[str], value: Any, key: str, *, word: str) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**raw, head: value}
    inner = raw.get(head)
    if isinstance(inner, str):
        inner = {word: inner}
    if inner is not None and not isinstance(inner, Mapping):
        raise ConfigError(f"{head!r} holds a {type(inner).__name__}, not a mapping.", where=f"--set {key}")
    return {**raw, head: _put(inner or {}, rest, value, key, word=word)}
