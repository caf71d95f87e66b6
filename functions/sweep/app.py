"""sweep: publishes pending events of the outbox, and ends jobs that no worker will score."""

from __future__ import annotations

import dataclasses
from typing import Any

from quintet.wiring import work as wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Sweep; return the counts. Runs every minute."""
    left = context.get_remaining_time_in_millis
    last_start = left() / 3  # the last third is for the page in progress
    found = wiring.sweeper()(lambda: left() > last_start)
    wiring.telemetry().swept(found)
    return dataclasses.asdict(found)
