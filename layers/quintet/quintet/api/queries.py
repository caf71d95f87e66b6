"""Query parameters of list routes."""

from __future__ import annotations

from collections.abc import Mapping

from quintet.columns import suggestion
from quintet.errors import BadInput, shown

__all__ = ["check_keys", "read_limit"]


def check_keys(query: Mapping[str, str], known: set[str]) -> None:
    """Refuse a query with an unknown key. Raises BadInput."""
    if unknown := sorted(query.keys() - known):
        got = shown(unknown[0]) + suggestion(unknown[0], known)
        raise BadInput.of("query", f"keys of {', '.join(sorted(known))}", got)


def read_limit(text: str | None, default: int, most: int) -> int:
    """The requested page size, at most `most`. Raises BadInput."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise BadInput.of("limit", f"1 to {most}", repr(text[:60]))
    return int(text)
