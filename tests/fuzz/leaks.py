"""What no answer, error or log line may tell: secrets, paths, ARNs, traces; planted ones too."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["SECRET", "leaks"]

#: planted as the credentials of the functions
SECRET = "wJalrXUtnFEMI0planted0K7MDENG"
_PATTERNS = (
    re.compile(r"Traceback \(most recent call last\)|^  File \"", re.MULTILINE),
    re.compile(r"arn:aws[\w-]*:[\w:/.*-]+"),
    re.compile(r"(?<![\w.])/(?:root|home|usr|var|opt|tmp|work|etc|proc)/[\w./-]+"),
    re.compile(r"site-packages|quintet/[\w/]+\.py"),
    re.compile(r"123456789012"),
    re.compile(SECRET),
    re.compile(re.escape(str(Path(__file__).parents[2]))),
)


def leaks(text: str, sent: str = "") -> list[str]:
    """What a text leaks that the caller has not sent."""
    found = (match[0] for pattern in _PATTERNS for match in pattern.finditer(text))
    return [one[:200] for one in found if one not in sent]
