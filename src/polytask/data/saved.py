"""Schemas read back from JSON, whatever their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from polytask.data.schema import Schema
from polytask.data.text.schema import TextSchema

AnySchema: TypeAlias = Schema | TextSchema


def read_schema(mapping: Mapping[str, Any]) -> AnySchema:
    """The schema of columns or of texts that ``to_json`` wrote.

    :raises polytask.errors.ConfigError: of another version, incomplete or of wrong types, with the path to the key.
    """
    return TextSchema.from_json(mapping) if mapping.get("kind") == TextSchema.kind else Schema.from_json(mapping)
