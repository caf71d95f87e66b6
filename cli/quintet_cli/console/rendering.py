"""HTML of templates: every string from a stage is escaped, and its control characters are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from quintet_cli.terminal import visible

__all__ = ["STATIC", "moment", "render"]

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"


def render(template: str, **values: Any) -> str:
    """A template of templates/ with values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    found.filters |= {
        "count": lambda number: f"{number:,.0f}",
        "data": lambda value: json.dumps(value, separators=(",", ":")),
        "figure": lambda value: "-" if value is None else f"{value:.4g}",
        "share": lambda value: "-" if value is None else f"{value:.1%}",
        "time": _time,
    }
    return found


def moment(value: float | str | datetime) -> datetime:
    """A time in UTC, from epoch seconds or ISO 8601."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return datetime.fromtimestamp(value, UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _time(value: float | str | datetime | None) -> Markup | str:
    """A time as every page shows it; a text that is no time is shown as it is."""
    if not value:
        return "-"
    try:
        at = moment(value)
    except (ValueError, OverflowError, OSError):
        return str(value)
    text = f"{at:%Y-%m-%d %H:%M:%SZ}"
    return Markup('<time datetime="{}">{}</time>').format(text.replace(" ", "T"), text)


def _shown(value: Any) -> Any:
    """A value without characters that control or reorder text."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
