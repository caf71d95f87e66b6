"""work: scores the jobs of the queue, in groups of one model version."""

from __future__ import annotations

import time
from typing import Any

from quintet.jobs.messages import deliveries
from quintet.wiring import work as wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Process the jobs that SQS messages name; return the messages to retry."""
    found = deliveries(event)
    left = context.get_remaining_time_in_millis
    last_start = left() / 3  # the last third is for jobs in progress
    started = time.time()
    results = wiring.worker().work(found, lambda: left() > last_start)
    wiring.telemetry().worked(results)
    wiring.trace(results, started)
    failed = [result.delivery.message for result in results if not result.acknowledged]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
