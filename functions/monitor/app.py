"""monitor: computes how fast models spend their error budgets, and reports those that burn."""

from __future__ import annotations

import time
from typing import Any

from quintet.wiring import monitor as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, list[str]]:
    """Watch the budgets; return the models that burn, by pair of windows. Runs every 5 minutes."""
    return wiring.watch(time.time())
