"""The committed schemas of what commands print with `--json`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

__all__ = ["SCHEMA", "valid"]

SCHEMA = Path(__file__).parents[2] / "docs/commands.schema.json"


def valid(command: str, printed: str) -> Any:
    """What a command printed as JSON, such as `quintet models`, held to its schema.

    Raises:
        ValidationError: it is not as the schema says.
    """
    found = json.loads(printed)
    names, validator = _commands()
    assert command in names, f"{command} has no schema"
    validator.validate({command: found})
    return found


@cache
def _commands() -> tuple[frozenset[str], Validator]:
    """The commands that have a schema, and what validates them.

    Kept, since checking the document itself takes a quarter of a second, and a log has many lines.
    """
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    kind = validator_for(schema)
    kind.check_schema(schema)
    return frozenset(schema["properties"]), kind(schema)
