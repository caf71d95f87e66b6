"""notify: sends webhooks and SNS notifications about settled jobs, alerts and runs."""

from __future__ import annotations

from typing import Any

from quintet.errors import BadInput, QuintetError, check_event
from quintet.webhooks.delivery import GivenUp
from quintet.wiring import common
from quintet.wiring import notify as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Handle SQS messages; return the messages to retry."""
    check_event(event, "SQS messages", "Records")
    failed = [
        {"itemIdentifier": message["messageId"]}
        for message in event["Records"]
        if not _handled(message)
    ]
    return {"batchItemFailures": failed}


def _handled(message: dict[str, Any]) -> bool:
    logger, name = common.logger(), message["messageId"]
    try:
        try:
            receives = int(message["attributes"]["ApproximateReceiveCount"])
            wait = wiring.notify(message["body"], receives)
        except (BadInput, GivenUp) as error:  # a retry would fail, too
            wiring.bury(message["body"])
            logger.warning("dead letter", message_id=name, reason=str(error))
            return True
    except QuintetError as error:
        logger.warning("to be tried again", message_id=name, reason=str(error))
        return False
    if wait is not None:
        wiring.postpone(message["receiptHandle"], wait)
    return wait is None
