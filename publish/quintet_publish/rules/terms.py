"""What the rules of a contract are written with: places in it, and names that it may have."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["FIELD", "RESERVED", "Found", "Path"]

#: where in the contract: ("features", 2, "dtype")
Path = tuple[str | int, ...]
Found = Iterator[tuple[Path, str]]

FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
RESERVED = ("entity", "expires")  # the feature store's own attributes
