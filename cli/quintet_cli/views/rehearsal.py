"""A rehearsal in the terminal: what would have been answered, beside what was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table

__all__ = ["figures", "rehearsal_view", "segment_value"]

#: segments and rows that are shown
SEGMENTS, WORST = 8, 5


def rehearsal_view(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Return the figures, the segments that differ most, and the rows that differ most."""
    captured, pairs = found["captured"], found["pairs"]
    yield (
        f"{found['model']}: version {found['candidate']} on {pairs:,} answers of version "
        f"{found['live']}, of {captured['rows']:,} captured rows"
    )
    left = [f"{captured[name]:,} {text}" for name, text in _LEFT.items() if captured[name]]
    if left:
        yield f"not compared: {', '.join(left)}"
    table = Table("", f"version {found['live']}", f"version {found['candidate']}", "", "margin")
    for name, live, candidate, difference, margin, beyond in figures(found):
        style = "red" if beyond else None
        table.add_row(name, live, candidate, difference, margin, style=style)
    yield table
    if found["segments"]:
        yield _segments(found["segments"][:SEGMENTS])
    if found["worst"]:
        yield _worst(found["worst"][:WORST])


_LEFT = {
    "refused": "refused",
    "failed": "failed",
    "fallback": "answered by the fallback rule",
    "without_features": "without features",
}


def figures(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, bool]]:
    """Name, value of each version, difference, margin, and whether it is beyond the margin."""
    margins, failures = found["margins"], found["failures"]
    share, margin = failures["share"], margins["failures"]
    yield "failures", "0", f"{failures['rows']:,}", f"{share:.3%}", f"{margin:.3%}", share > margin
    score = found["score"]
    if score is not None:
        shift = score["shift"]
        beyond = shift is None or abs(shift) > margins["score"]
        live, candidate = (f"{score[name]:.4g}" for name in ("live_mean", "candidate_mean"))
        yield "mean score", live, candidate, _sd(shift), f"{margins['score']:g} sd", beyond
        spread = score["quantiles"]
        for name, key in (("median distance", "p50"), ("95th percentile", "p95")):
            yield name, "", "", _sd(spread[key]), "", False
    labels = found["labels"]
    if labels is not None:
        share, margin = labels["share"], margins["labels"]
        yield (
            "labels changed",
            "",
            f"{labels['changed']:,}",
            f"{share:.2%}",
            f"{margin:.2%}",
            (share > margin),
        )
    live, candidate = (found["latency_us"][name] for name in ("live", "candidate"))
    if live is not None and candidate is not None:
        times, margin = candidate / live, margins["latency"]
        yield (
            "a row here",
            f"{live:.3g} µs",
            f"{candidate:.3g} µs",
            f"{times:.2f} times",
            (f"{margin:g} times"),
            times > margin,
        )


def segment_value(value: object) -> str:
    """Return the value of a segment as text."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _segments(some: Sequence[Mapping[str, Any]]) -> Table:
    title = "where it differs from the other rows"
    table = Table("feature", "value", "rows", "shift", "changed", "failed", title=title)
    for one in some:
        shares = (f"{one[name]:.2%}" for name in ("changed", "failed"))
        value = segment_value(one["value"])
        table.add_row(one["by"], value, f"{one['rows']:,}", _sd(one["shift"]), *shares)
    return table


def _worst(some: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("event", "row", "live", "candidate", title="the rows that differ most")
    for one in some:
        live = "" if one["live"] is None else f"{one['live']:.4g}"
        candidate = "failed" if one["failed"] else f"{one['candidate']:.4g}"
        table.add_row(str(one["event"]), str(one["row"]), live, candidate)
    return table


def _sd(value: float | None) -> str:
    return "of a constant" if value is None else f"{value:+.3f} sd" if value else "none"
