"""The committed schemas of what commands print with `--json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

__all__ = ["SCHEMA", "valid"]

SCHEMA = Path(__file__).parents[2] / "docs/commands.schema.json"


def valid(command: str, printed: str) -> Any:
    """What a command printed as JSON, such as `quintet models`, held to its schema.

    Raises:
        ValidationError: it is not as the schema says.
    """
    found = json.loads(printed)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert command in schema["properties"], f"{command} has no schema"
    jsonschema.validate({command: found}, schema)
    return found
