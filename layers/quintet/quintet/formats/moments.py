"""Moments in files of features: seconds since 1970, or ISO 8601, within plausible bounds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXPECTED", "hint", "moment_of", "plausible"]

EXPECTED = "a time before 2100: seconds since 1970, or ISO 8601"
LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

#: YYYYMMDD of these years is a moment of 1970 in seconds
_DATES = (19000101, 21001231)
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))


def moment_of(value: Any) -> float:
    """A number or text as seconds since the epoch; a time without a zone is UTC's.

    Raises:
        ValueError: it is neither, or out of bounds; the message is a hint, or empty.
    """
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError("")
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = _iso(value)
        if not 0 <= seconds < LATEST:
            raise ValueError("") from None
    else:
        if not plausible(np.array([seconds]))[0]:
            raise ValueError(hint(seconds))
    return seconds


def plausible(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which numbers `moment_of` takes."""
    fine: NDArray[np.bool_] = (seconds >= 0) & (seconds < LATEST)
    odd = np.flatnonzero(fine & (seconds >= _DATES[0]) & (seconds <= _DATES[1]))
    fine[odd] = [not _is_date(value) for value in seconds[odd].tolist()]
    return fine


def _iso(value: Any) -> float:
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise ValueError("") from None


def _is_date(seconds: float) -> bool:
    return _DATES[0] <= seconds <= _DATES[1] and _date(seconds) is not None


def _date(number: float) -> date | None:
    try:
        return date(int(number // 10000), int(number // 100 % 100), int(number % 100))
    except ValueError:
        return None


def hint(seconds: float) -> str:
    """What an implausible number of seconds may be; empty where nothing is likely."""
    if _is_date(seconds):
        return f"is it the date {_date(seconds)}?"
    for unit, size in _UNITS:
        if LATEST <= seconds < LATEST * size:
            return f"are these {unit}?"
    return ""
