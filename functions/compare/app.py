"""compare: compares the versions of rollouts on captured rows, and keeps the evidence."""

from __future__ import annotations

from typing import Any

from quintet.jobs.messages import deliveries
from quintet.wiring import compare as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Compare the captures that SQS messages name; return the messages to retry."""
    failed = wiring.compare(deliveries(event))
    return {"batchItemFailures": [{"itemIdentifier": one.message} for one in failed]}
