"""Logged recommendations in the terminal: what was exported, and what a version would earn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from quintet_cli.impressions.evaluation import LEFT_OUT

__all__ = ["evaluation_view", "exported_lines"]

_METHODS = {"logged": "as shown", "ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}
_REWARDS = {"click": "clicks", "purchase": "purchases"}
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
        yield f"left out: {counts['open']:,} impressions {LEFT_OUT['open']}"
    yield _feedback(feedback)


def evaluation_view(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Return the version's value, by position, and what the figures do not say."""
    rewards = _REWARDS[found["reward"]]
    yield (
        f"{found['model']}: version {found['version']} on {found['impressions']:,} impressions of "
        f"{found['users']:,} users, with {found['rewards']:,} {rewards}"
    )
    table = Table(
        "", f"{rewards} an answer", "95 % interval", "against the order then", "95 % interval"
    )
    for name, title in _METHODS.items():
        one = found[name]
        gap = (one or {}).get("difference")
        table.add_row(title, *_cells(one), *(_cells(gap, "+") if name != "logged" else ("", "")))
    yield table
    yield _positions(found)
    yield (
        f"the same item as ranked then at {found['agreement']:.1%} of the places; elsewhere the "
        f"version's item was shown {found['matches']:,} times"
    )
    left = [f"{count:,} {LEFT_OUT[name]}" for name, count in found["left_out"].items() if count]
    if left:
        yield f"left out: {', '.join(left)}"
    yield _feedback(found["feedback"])
    for warning in found["warnings"]:
        yield Text(warning, style="yellow")


def _positions(found: Mapping[str, Any]) -> Table:
    names = ("position", *_METHODS.values(), "could be shown", "effective")
    table = Table(*names, title="at each position")
    for row in found["by_position"]:
        values = ("-" if row[name] is None else f"{row[name]['value']:.4f}" for name in _METHODS)
        table.add_row(
            str(row["position"]), *values, f"{row['support']:.1%}", f"{row['effective']:,.0f}"
        )
    return table


def _cells(one: Mapping[str, Any] | None, sign: str = "") -> tuple[str, str]:
    """An estimate and its interval."""
    if one is None:
        return "-", "-"
    low, high = one["low"], one["high"]
    between = "-" if low is None else f"{low:{sign}.4f} to {high:{sign}.4f}"
    return f"{one['value']:{sign}.4f}", between


def _feedback(counts: Mapping[str, int]) -> str:
    told = [f"{counts[name]:,} {text}" for name, text in _FEEDBACK.items() if counts[name]]
    return "; ".join([f"feedback: {counts['counted']:,} rows count", *told])
