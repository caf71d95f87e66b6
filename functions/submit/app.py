"""submit: stands empty yet."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Refuse everything."""
    raise NotImplementedError("submit")
