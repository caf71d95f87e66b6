"""Times in options: so long ago or ahead, or a moment."""

from __future__ import annotations

import re
import time

from quintet.errors import BadInput, shown
from quintet.formats.moments import moment_of

__all__ = ["ahead", "moment"]

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def moment(text: str | None, option: str) -> float:
    """The time of an option as epoch seconds: so long ago, or ISO 8601; None is the end of time.

    Raises:
        BadInput: it is neither.
    """
    if text is None:
        return float("inf")
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return moment_of(text)
    except ValueError:
        expected = "30m, 12h, 7d or a time such as 2026-01-31T12:00"
        raise BadInput.of(option, expected, shown(text)) from None


def ahead(text: str, option: str, now: float) -> float:
    """The time of an option as epoch seconds: so long from now, or ISO 8601.

    Raises:
        BadInput: it is neither.
    """
    if span := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return now + int(span[1]) * _UNITS[span[2]]
    return moment(text, option)
