"""capture: writes the captures that CloudWatch Logs delivers to their bucket."""

from __future__ import annotations

from typing import Any

from quintet.captures.delivery import deliver
from quintet.wiring import captures as wiring


def handler(event: dict[str, Any], context: object) -> None:
    """Write the captures of one delivery. After a failure, Lambda calls again with the same."""
    wiring.telemetry().delivered(deliver(event, wiring.bucket(), wiring.feed()))
