"""Quality in the terminal: realised beside estimated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

__all__ = ["quality_view"]

#: the statistics that are shown, and their headings
_SHOWN = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "rmse": "RMSE",
    "mae": "MAE",
    "bias": "bias",
}
_NOTES = {
    "twice": "twice",
    "corrected": "corrected by a later one",
    "contradictory": "contradictory, not used",
    "late": "for earlier predictions",
    "not_a_label": "of no class of the version",
    "unknown": "of unknown predictions",
}


def quality_view(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Return a table for each version, and what became of the labels."""
    yield f"{found['model']}, {found['from']} to {found['to']}"
    for version in found["versions"]:
        yield _days(version)
        if version.get("segments") is not None:
            yield _segments(version)
        if version["no_estimate"]:
            yield version["no_estimate"]
        if version["by_rule"]:
            yield f"{version['by_rule']:,} answers of the fallback rule are left out"
        if version["not_finite"]:
            yield f"{version['not_finite']:,} predictions without a finite output are left out"
    if not found["versions"]:
        yield "no captured predictions that labels can be compared with"
    for version, rows in found["deleted"].items():
        yield f"version {version} was deleted or withdrawn: {rows:,} predictions of it are left out"
    for key in found["damaged"]:
        yield f"{key} cannot be read, and is left out; restore it, or delete it"
    counts = found["labels"]
    notes = [f"{counts[name]:,} {text}" for name, text in _NOTES.items() if counts[name]]
    yield "; ".join([f"labels: {counts['read']:,} read, {counts['used']:,} used", *notes])


def _days(version: Mapping[str, Any]) -> Table:
    title = f"version {version['version']}: realised (estimated)"
    return _table(title, "day", [(day["day"], day) for day in version["days"]], version)


def _segments(version: Mapping[str, Any]) -> Table:
    rows = [(_value(part["value"]), part) for part in version["segments"]]
    return _table(f"version {version['version']} by segment", "value", rows, None)


def _table(
    title: str,
    first: str,
    rows: list[tuple[str, Mapping[str, Any]]],
    total: Mapping[str, Any] | None,
) -> Table:
    every = [one for _, one in rows]
    names = [n for n in _SHOWN if any(n in (q or ()) for o in every for q in _both(o))]
    table = Table(first, "rows", "labelled", *(_SHOWN[name] for name in names), title=title)
    for name, one in rows:
        table.add_row(name, *_cells(one, names))
    if total is not None and len(rows) > 1:
        table.add_section()
        table.add_row("all", *_cells(total, names))
    return table


def _both(one: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    return one["realised"], one["estimated"]


def _cells(one: Mapping[str, Any], names: list[str]) -> list[str]:
    realised, estimated = ((quality or {}) for quality in _both(one))
    cells = [f"{one['rows']:,}", f"{one['labelled']:,}"]
    for name in names:
        told = f" ({_number(estimated[name])})" if name in estimated else ""
        cells.append(f"{_number(realised.get(name))}{told}")
    return cells


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
