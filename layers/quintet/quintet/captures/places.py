"""Where captures are in their bucket, and until when.

New rows arrive in `raw/`; `compact` merges those of an hour into one object in `captures/`. A
reader takes both, and each (event, row) once. Names tell the days that rows are kept.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from quintet.captures.reading import Hour

__all__ = ["FAILED", "RAW", "TABLE", "Place", "hourly_key", "place_of", "raw_key", "unit_key"]

RAW, TABLE = "raw/", "captures/"
#: what Lambda gave up: the deliveries that `capture` failed for
FAILED = "aws/lambda/"
_KEY = re.compile(
    r"(?:raw|captures)/model=([^/]+)/date=(\d{4}-\d\d-\d\d)/hour=(\d\d)/v(\d+)-(\d+)d.*\.parquet"
)
_MERGED = re.compile(r"^captures/.*/v\d+-\d+d(-\d+)?\.parquet$")


@dataclass(frozen=True, slots=True)
class Place:
    """An object of captures, by its key."""

    key: str
    hour: Hour

    @property
    def merged(self) -> bool:
        """Whether it is an hour's object, or a part of one, which `compact` makes of others."""
        return _MERGED.search(self.key) is not None

    @property
    def expires(self) -> int:
        """When its rows are no longer kept, in epoch seconds."""
        return self.hour.start + 3600 + self.hour.days * 86_400


def hourly_key(hour: Hour, part: int = 0) -> str:
    """The key of an hour's object; of a large hour, of one of its parts."""
    return f"{TABLE}{_folder(hour)}{f'-{part}' if part else ''}.parquet"


def unit_key(hour: Hour, run: str, unit: int, part: int) -> str:
    """The key of a batch run's rows, the same for each attempt at a unit: they need no merging."""
    return f"{TABLE}{_folder(hour)}-{run}-{unit:05d}_{part:04d}.parquet"


def raw_key(hour: Hour, first: str, last: str, body: bytes) -> str:
    """The key of new rows: by their first and last event, and a hash of all.

    The same rows have the same key, so that a retry writes the same object; others never do.
    """
    digest = hashlib.sha256(body).hexdigest()[:16]
    return f"{RAW}{_folder(hour)}-{_safe(first)}-{_safe(last)}-{digest}.parquet"


def place_of(key: str) -> Place | None:
    """The place of a key; None if it is no object of captures."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    model, date, hour, version, days = found.groups()
    start = datetime.fromisoformat(f"{date}T{hour}:00:00").replace(tzinfo=UTC)
    return Place(key, Hour(model, int(version), int(days), int(start.timestamp())))


def _folder(hour: Hour) -> str:
    at = datetime.fromtimestamp(hour.start, UTC)
    place = f"model={hour.model}/date={at:%Y-%m-%d}/hour={at:%H}"
    return f"{place}/v{hour.version}-{hour.days}d"


def _safe(event: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", event)[:200]
