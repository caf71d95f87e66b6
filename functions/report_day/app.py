"""report_day: reports yesterday's captures of each model: drift, and what came in."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from quintet.wiring import daily as wiring


def handler(event: dict[str, Any], context: object) -> list[dict[str, Any]]:
    """Report all captured models, or the `model` and `day` of the event; return summaries.

    Runs every day; metrics are of these runs only.
    """
    now = time.time()
    if model := event.get("model"):
        reports = [wiring.report(model, date.fromisoformat(event["day"]), now)]
    else:
        reports = wiring.report_all(now)
    return [wiring.summary(report) for report in reports]
