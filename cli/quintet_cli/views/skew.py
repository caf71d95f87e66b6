"""Stored features in the terminal: their freshness, their skew, and their distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table

__all__ = ["skew_view"]


def skew_view(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Return the tables of a day."""
    yield (
        f"{found['model']} version {found['version']}, {found['day']} (UTC): "
        f"{found['rows']:,} captured rows with stored features"
    )
    if not found["rows"]:
        yield "captures arrive within a minute; --day and --version choose others"
        return
    yield _ages(found["freshness"])
    yield _skew([one for one in found["skew"] if one["rows"]])
    for one in found["skew"]:
        if not one["rows"]:
            yield f"{one['feature']} is not compared: {one['not_compared']}"
    by_time = [one["feature"] for one in found["skew"] if one.get("by_event_time")]
    if by_time:
        yield (
            f"by event time only: {', '.join(by_time)}. The files have no known_at, so a value "
            "that was not known yet when a row was served counts as skew"
        )
    yield from _training(found["drift"])


def _ages(freshness: Sequence[Mapping[str, Any]]) -> Table:
    names = (
        "feature",
        "max_age",
        "p50",
        "p95",
        "p99",
        "oldest",
        "of max_age",
        "too old",
        "missing",
    )
    table = Table(*names, title="age when served")
    for one in freshness:
        ages = (one[name] for name in ("max_age", "p50", "p95", "p99", "oldest"))
        used = "-" if one["used"] is None else f"{one['used']:.0%}"
        table.add_row(
            one["feature"],
            *map(_duration, ages),
            f"{used} aging" if one["aging"] else used,
            f"{one['too_old']:.1%}",
            f"{one['missing']:.1%}",
        )
    return table


def _skew(skew: Sequence[Mapping[str, Any]]) -> Table:
    names = {
        "exact": "exact",
        "within": "within tolerance",
        "different": "different",
        "missing_served": "not served",
        "missing_offline": "not in files",
        "missing_both": "in neither",
        "behind": "served late",
    }
    table = Table("feature", "skewed", *names.values(), title="served against the files, in rows")
    for one in skew:
        counts = (f"{one[name]:,}" for name in names)
        table.add_row(one["feature"], f"{one['skewed']:.2%}", *counts)
    return table


def _training(drift: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    if drift is None:
        yield "no distribution to compare with: the version has no baseline, or no usable rows"
        return
    if drift["too_few"]:
        yield "too few rows or entities to tell another distribution from chance"
    table = Table("feature", "moved", "effect", "p", title="served against the training data")
    for one in drift["features"]:
        moved = "yes" if one["moved"] else "no"
        table.add_row(one["feature"], moved, f"{one['effect']:.3f}", f"{one['p']:.2g}")
    yield table


def _duration(seconds: float | None) -> str:
    """Seconds in the largest unit that leaves at least two."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
