"""Moments as every table and line shows them: to the second, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["shown_time"]


def shown_time(moment: float | str | None) -> str:
    """Return `2026-01-31 12:00:00Z` for epoch seconds or an ISO 8601 time; empty without one."""
    if not moment and moment != 0:
        return ""
    if isinstance(moment, str):
        at = datetime.fromisoformat(moment)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    else:
        at = datetime.fromtimestamp(float(moment or 0), UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
