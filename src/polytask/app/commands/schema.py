"""``polytask schema``: the JSON schema of the configuration."""

from __future__ import annotations

from polytask.app.editor_schema import schema_text


def command() -> None:
    """Print the configuration's JSON schema.

    Editors complete and check a configuration with it: polytask schema > polytask.schema.json, and as the first line
    of the YAML: # yaml-language-server: $schema=polytask.schema.json
    """
    print(schema_text(), end="")
