"""drop: starts a batch run for each file put into the inbox."""

from __future__ import annotations

from typing import Any

from quintet.batch.drops import dropped, start
from quintet.errors import BadInput, QuintetError, check_event
from quintet.wiring import batch as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Start the runs that SQS messages name; return the messages to retry."""
    check_event(event, "SQS messages", "Records")
    failed = [
        {"itemIdentifier": message["messageId"]}
        for message in event["Records"]
        if not _handled(message)
    ]
    return {"batchItemFailures": failed}


def _handled(message: dict[str, Any]) -> bool:
    logger = common.logger()
    try:
        try:
            for found in dropped(message["body"]):
                with wiring.starting(found.run):
                    run, status = start(found, wiring.runs())
                logger.info("dropped", run=run, status=status)
        except BadInput as error:  # a retry would fail, too
            wiring.bury_drop(message["body"])
            logger.warning("dead letter", message_id=message["messageId"], reason=str(error))
    except QuintetError as error:
        logger.warning("to be tried again", message_id=message["messageId"], reason=str(error))
        return False
    return True
