"""The function of the tests of limits: it tells a queue what it was called with."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Fails on a batch with a record of the partition key `poison`."""
    told = {
        "event": event,
        "version": context.function_version,
        "start": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
    }
    if queue := os.environ.get("QUEUE_URL"):
        sqs: Any = boto3.client("sqs")
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(told))
    keys = [record["kinesis"]["partitionKey"] for record in event.get("Records", [])]
    if "poison" in keys:
        raise ValueError("poison")
    return told
