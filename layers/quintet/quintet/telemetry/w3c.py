"""The W3C trace context: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re

__all__ = ["trace_id"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def trace_id(traceparent: str) -> str:
    """The trace id (32 hexadecimal digits) in a `traceparent`; empty if it is invalid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[0].startswith("ff") or not int(match[1], 16) or not int(match[2], 16):
        return ""
    return match[1]
