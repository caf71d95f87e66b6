"""Queues, in SQS's JSON protocol.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import json

from quintet.aws.client import AwsClient
from quintet.errors import Transient
from quintet.jobs.store import Notice

__all__ = ["NoticeQueue", "send"]


class NoticeQueue:
    """Sends notices; see `quintet.jobs.dispatch.Queue`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, notice: Notice, delay: int = 0) -> None:
        """See `Queue.send`. Sent twice does no harm: the job says what was done."""
        send(self._client, self._url, notice.message(), delay)


def send(client: AwsClient, url: str, body: str, delay: int = 0) -> None:
    """Send a message, perhaps twice, to be seen after `delay` seconds. Raises Transient."""
    message = {"QueueUrl": url, "MessageBody": body, "DelaySeconds": delay}
    response = client.request(
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
