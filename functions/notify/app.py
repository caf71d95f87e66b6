"""notify: tells callers of settled jobs, and endpoints of alerts and runs, by webhook and SNS."""

from __future__ import annotations

from typing import Any

from quintet.errors import BadInput, QuintetError
from quintet.wiring import common
from quintet.wiring import notify as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Handle messages of SQS; returns the messages that must come back."""
    failed = []
    for message in event["Records"]:
        if not _handled(message):
            failed.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failed}


def _handled(message: dict[str, Any]) -> bool:
    try:
        receives = int(message["attributes"]["ApproximateReceiveCount"])
        wait = wiring.notify(message["body"], receives)
    except QuintetError as error:
        common.logger().warning("not handled", message_id=message["messageId"], reason=str(error))
        if not isinstance(error, BadInput):
            return False
        wait = 0.0  # it will never be readable: on to the dead letters
    if wait is not None:
        wiring.postpone(message["receiptHandle"], wait)
    return wait is None
