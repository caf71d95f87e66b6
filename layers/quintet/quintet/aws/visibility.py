"""When the messages of an SQS queue come back.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from quintet.aws.client import AwsClient
from quintet.errors import Transient

__all__ = ["QueueVisibility"]

MOST_ENTRIES = 10


class QueueVisibility:
    """The visibility of a queue's messages; see `quintet.working.deliveries.Visibility`."""

    def __init__(self, client: AwsClient, queue_url: str) -> None:
        self._client = client
        self._url = queue_url

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `Visibility.delay`."""
        waits = list(seconds.items())
        for start in range(0, len(waits), MOST_ENTRIES):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": wait}
                for number, (receipt, wait) in enumerate(waits[start : start + MOST_ENTRIES])
            ]
            try:
                self._change(entries)
            except Transient:
                continue

    def _change(self, entries: list[dict[str, object]]) -> None:
        self._client.request(
            "POST",
            "/",
            headers={
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": "AmazonSQS.ChangeMessageVisibilityBatch",
            },
            body=json.dumps({"QueueUrl": self._url, "Entries": entries}).encode(),
            idempotent=True,
        )
