"""drop: turns a file put into the inbox into a run of the batch scoring."""

from __future__ import annotations

from typing import Any

from quintet.batch.drops import dropped, start
from quintet.errors import QuintetError
from quintet.wiring import batch as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Start the runs that SQS messages tell of; the messages that could not be handled.

    A message that is not S3's fails every time, and so ends among the dead letters.
    """
    logger = common.logger()
    failed = []
    for message in event["Records"]:
        try:
            for found in dropped(message["body"]):
                run, status = start(found, wiring.runs())
                logger.info("dropped", run=run, status=status)
        except QuintetError as error:
            logger.warning("not handled", message_id=message["messageId"], reason=str(error))
            failed.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failed}
