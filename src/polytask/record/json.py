"""Frozen dataclasses as JSON files and back, with an error that names the wrong key.

Numbers that are not finite have no place in JSON: they are written as ``null`` and read back as NaN.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from polytask.errors import RunError

R = TypeVar("R")


def _nan_for_null(value: Any) -> Any:
    return float("nan") if value is None else value


Number = Annotated[float, BeforeValidator(_nan_for_null)]
"""A float whose absence is NaN in Python and ``null`` in the file."""


def encode(record: Any) -> str:
    """A dataclass as JSON text: one key per line, and one line per element of a list of objects.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: Number
    >>> encode(Point(float("inf")))
    '{\\n"x": null\\n}\\n'
    """
    plain = json.loads(TypeAdapter(type(record)).dump_json(record))
    return "{\n" + ",\n".join(f"{_text(key)}: {_lines(value)}" for key, value in plain.items()) + "\n}\n"


def decode(cls: type[R], text: str | bytes, *, where: str, newest: int) -> R:
    """The dataclass behind JSON text.

    :param where: the file, for messages.
    :param newest: the newest ``format`` that this version of Polytask understands.
    :raises RunError: no JSON, a newer format, or a missing or wrong key (with its path).
    """
    try:
        plain = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(
            f"expected JSON, found something else or only a part of it: {error}.",
            where=where,
            do="The file is damaged or was cut short; run the command that made it again.",
        ) from None
    found = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(found, int):
        raise RunError("expected an object with a whole number 'format'.", where=where)
    if found > newest:
        raise RunError(
            f"format {found} is newer than this version of Polytask understands (up to {newest}).",
            where=where,
            do="Update Polytask: pip install --upgrade polytask",
        )
    try:
        return TypeAdapter(cls).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{first['msg']}, found {_short(first['input'])}.", where=f"{where}: {path}") from None


def _lines(value: Any) -> str:
    """Lists of objects get a line per element, everything else stays on one line."""
    if isinstance(value, list) and value and all(isinstance(element, dict) for element in value):
        return "[\n  " + ",\n  ".join(_text(element) for element in value) + "\n]"
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
