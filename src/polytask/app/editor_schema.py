"""The JSON schema of the configuration, for completion and checks in editors; assembled from the dataclasses."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any

from pydantic import TypeAdapter

from polytask.app.config import DEFAULT_SPLIT, RECIPE, VARIANTS, DataSection
from polytask.app.facts import parameter_words, summary
from polytask.catalogue import Catalogue, without
from polytask.data.options import SchemaOptions
from polytask.data.splits import SPLITS
from polytask.studies.options import CompareOptions
from polytask.tasks import TASKS
from polytask.training.distillation import Distillation
from polytask.training.options import TrainingOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as JSON text."""
    return json.dumps(configuration_schema(), indent=1, ensure_ascii=False) + "\n"


VARIANT: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}]
}
"""A variant inside a variant."""


def configuration_schema() -> dict[str, Any]:
    """The schema of a whole configuration."""
    variants = {key: variant_schema(catalogue, default) for key, (catalogue, default) in VARIANTS.items()}
    training = options_schema(TrainingOptions)
    data = options_schema(DataSection)
    data["properties"]["split"] = variant_schema(SPLITS, DEFAULT_SPLIT)
    taught = {"anyOf": [{"const": "single"}, options_schema(Distillation)]}
    start = {"type": "string", "description": "Folder of a saved model to start from."}
    adapting = {"distillation": taught, "init_from": start}
    loose = {key: _loose(schema) for key, schema in variants.items()}
    contender = _object({**loose, "training": training, **adapting})
    compare = options_schema(CompareOptions)
    compare["properties"]["contenders"] = {
        "type": "object",
        "description": f"Further models by name: the requested one with other values of {', '.join(RECIPE)}.",
        "additionalProperties": contender,
    }
    whole = _object(
        {
            "title": {"type": "string", "description": "Heading of reports."},
            "data": data,
            "tasks": _tasks(),
            **variants,
            "training": training,
            **adapting,
            "seed": {"type": "integer", "minimum": 0, "description": "Short for training.seed."},
            "schema": options_schema(SchemaOptions),
            "compare": compare,
        }
    )
    return {"$schema": DIALECT, "title": "Polytask configuration", **whole, "required": ["data"]}


def options_schema(cls: type[Any], nested: Set[str] = frozenset()) -> dict[str, Any]:
    """The schema of a dataclass of options, with the words of its docstring.

    :param nested: fields that hold another variant: a name, or a mapping with one.
    """
    plain = TypeAdapter(without(cls, nested) if nested else cls).json_schema()
    plain["properties"] = {**dict.fromkeys(sorted(nested), VARIANT), **plain.get("properties", {})}
    plain["required"] = [*sorted(nested), *plain.get("required", [])]
    words = parameter_words(cls)
    properties = {
        name: {**{k: v for k, v in field.items() if k != "title"}, **_described(words.get(name, ""))}
        for name, field in plain.get("properties", {}).items()
    }
    required = {"required": plain["required"]} if plain.get("required") else {}
    return _object(properties) | {"description": summary(cls)} | required


def variant_schema(catalogue: Catalogue[Any], default: str = "", *, named: bool = True) -> dict[str, Any]:
    """The schema of a value that names a variant: the name, or a mapping of the name and fields.

    :param default: the variant that fields without a name belong to.
    :param named: whether the name alone will do.
    """
    mappings = []
    for name, cls in catalogue.items():
        schema = options_schema(cls, catalogue.nested(cls))
        schema["properties"] = {catalogue.key: {"const": name}, **schema["properties"]}
        schema["required"] = [*([] if name == default else [catalogue.key]), *schema.get("required", [])]
        mappings.append(schema)
    names = [{"oneOf": [{"const": name, "description": summary(cls)} for name, cls in catalogue.items()]}]
    third_party = [{"type": "string", "pattern": "^[\\w.]+:\\w+$", "description": "package.module:Class"}]
    return {"anyOf": [*((names + third_party) if named else []), *mappings]}


def _loose(schema: dict[str, Any]) -> dict[str, Any]:
    """A variant, or some fields of the one that the requested model has."""
    return {"anyOf": [*schema["anyOf"], {"type": "object", "not": {"required": ["name"]}}]}


def _tasks() -> dict[str, Any]:
    task = variant_schema(TASKS, named=False)
    by_name = {"anyOf": [{"enum": list(TASKS)}, {"anyOf": [_without_name(kind) for kind in task["anyOf"]]}]}
    picked = {"type": "string", "description": "A task of the data set."}
    return {
        "description": "name: kind, or name: {kind: ..., ...}, or a list of {name: ..., kind: ..., ...}.",
        "anyOf": [
            {"type": "object", "additionalProperties": by_name},
            {"type": "array", "items": {"anyOf": [*task["anyOf"], picked]}},
        ],
    }


def _without_name(kind: dict[str, Any]) -> dict[str, Any]:
    properties = {key: value for key, value in kind["properties"].items() if key != "name"}
    return {**kind, "properties": properties, "required": [key for key in kind["required"] if key != "name"]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _described(text: str) -> dict[str, str]:
    return {"description": text} if text else {}
