"""When a receiver says that it wants to be asked again: HTTP's Retry-After.

https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["seconds_of"]

MAX_CHARACTERS = 64
_SECONDS = re.compile(r"[0-9]{1,9}")


def seconds_of(text: str | None, now: float) -> float:
    """The seconds from `now` that a Retry-After asks for; 0 where it cannot be read."""
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if not text.isascii() or len(text) > MAX_CHARACTERS:
        return 0.0
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if at.tzinfo is None:  # HTTP's dates are in GMT
        at = at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now)
