"""Queues of notices, in SQS's JSON protocol.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import json

from quintet.aws.client import AwsClient
from quintet.errors import Transient
from quintet.jobs.store import Notice
from quintet.streaming.alert import Callout

__all__ = ["NoticeQueue"]


class NoticeQueue:
    """Sends notices, and alerts that are to be called out; see `quintet.jobs.dispatch.Queue`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, notice: Notice | Callout, delay: int = 0) -> None:
        """See `Queue.send`. Sent twice does no harm: what was done is recorded."""
        message = {
            "QueueUrl": self._url,
            "MessageBody": notice.message(),
            "DelaySeconds": delay,
        }
        response = self._client.request(
            "POST",
            "/",
            headers={
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": "AmazonSQS.SendMessage",
            },
            body=json.dumps(message).encode(),
            idempotent=True,
        )
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to a message")
