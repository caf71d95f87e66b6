"""Logged recommendations in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["exported_lines"]

_FEEDBACK = {
    "repeated": "said twice",
    "unknown_impression": "of unknown impressions",
    "open": "of impressions whose window is open",
    "foreign_user": "of other users",
    "unknown_item": "of items that were not shown",
    "before": "before the impression",
    "late": "after the window",
}


def exported_lines(counts: Mapping[str, int], feedback: Mapping[str, int]) -> Iterator[str]:
    """Return what was exported, and what was left out and why."""
    yield f"{counts['rows']:,} shown items of {counts['impressions']:,} impressions"
    if counts["without_features"]:
        yield f"{counts['without_features']:,} of them were not ranked, and have no features"
    if counts["open"]:
        yield f"left out: {counts['open']:,} impressions whose window for feedback is open"
    yield _feedback(feedback)


def _feedback(counts: Mapping[str, int]) -> str:
    told = [f"{counts[name]:,} {text}" for name, text in _FEEDBACK.items() if counts[name]]
    return "; ".join([f"feedback: {counts['counted']:,} rows count", *told])
