"""watch_ages: measures how old stored features are when they are served, against `max_age`."""

from __future__ import annotations

import time
from typing import Any

from quintet.wiring import ages as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, list[str]]:
    """Look at the captures of the last hour; return the aging features by model. Runs hourly."""
    return wiring.watch(time.time())
