"""notify: tells callers that their jobs are settled, by webhook and by SNS."""

from __future__ import annotations

from typing import Any

from quintet import wiring_notify as wiring
from quintet.errors import QuintetError


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Tell the callers of the jobs that SQS messages name; the messages that are to come back.

    A message that is not ours fails every time, and so ends among the dead letters.
    """
    logger, notifier = wiring.logger(), wiring.notifier()
    failed = []
    for message in event["Records"]:
        try:
            receives = int(message["attributes"]["ApproximateReceiveCount"])
            wait = notifier(message["body"], receives)
            if wait is None:
                continue
            wiring.postpone(message["receiptHandle"], wait)
        except QuintetError as error:
            logger.warning("not handled", message_id=message["messageId"], reason=str(error))
        failed.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failed}
