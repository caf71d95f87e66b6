"""rollout: judges rollouts for their state machine, and rolls them back for alarms."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from quintet.errors import check_event
from quintet.jobs.messages import deliveries
from quintet.wiring import rollouts as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Look at the rollout that the state machine names, or handle the queue's messages."""
    if "Records" not in event:
        check_event(event, "SQS messages with Records, or a rollout", "model", "rollout")
        return asdict(wiring.judge().tick(event["model"], event["rollout"], time.time()))
    failed = wiring.stop(deliveries(event), time.time())
    return {"batchItemFailures": [{"itemIdentifier": one.message} for one in failed]}
