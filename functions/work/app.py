"""work: scores the jobs of the queue, those of one model version together."""

from __future__ import annotations

from typing import Any

from quintet.jobs.deliveries import deliveries
from quintet.wiring import work as wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work on the jobs that SQS messages name; the messages that are to come back.

    A message that is not ours fails every time, and so ends among the dead letters.
    """
    logger, left = wiring.logger(), context.get_remaining_time_in_millis
    last_start = left() / 3  # the last third is for what was begun
    fates = wiring.worker().work(deliveries(event), lambda: left() > last_start)
    for fate in fates:
        level = logger.info if fate.acknowledged else logger.warning
        level(fate.event, **fate.line())
    failed = [fate.delivery.message for fate in fates if not fate.acknowledged]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
