"""report_day: reports yesterday's captures of each model: drift, and what came in."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from quintet.wiring import daily as wiring


def handler(event: dict[str, Any], context: object) -> list[dict[str, Any]]:
    """Report all captured models, or the `model` and `day` of the event; return summaries.

    Runs every day; metrics are of these runs only.
    """
    now = time.time()
    if model := event.get("model"):
        return [wiring.summary(wiring.report(model, date.fromisoformat(event["day"]), now))]
    day = datetime.fromtimestamp(now, UTC).date() - timedelta(days=1)
    reports = [wiring.report(model, day, now) for model in wiring.captured_models()]
    wiring.telemetry().reported(reports)
    return [wiring.summary(report) for report in reports]
