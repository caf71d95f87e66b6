"""SQS queues, through the JSON protocol.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse, error_name
from quintet.errors import Transient
from quintet.jobs.store import JobEvent
from quintet.rollouts.stops import Stop, message
from quintet.webhooks.events import WebhookMessage

__all__ = ["DeadLetterQueue", "JobEventQueue", "QueueVisibility", "StopQueue"]

MAX_ENTRIES = 10
#: how long a received message stays hidden if it is not released
HOLD_SECONDS = 20


def _sqs(client: AwsClient, operation: str, payload: Mapping[str, Any]) -> AwsResponse:
    """Call an operation, with retries."""
    return client.call(f"AmazonSQS.{operation}", payload)


class JobEventQueue:
    """Sends events of jobs, and webhook messages; see `quintet.jobs.messages.EventQueue`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, notice: JobEvent | WebhookMessage, delay: int = 0) -> None:
        """See `EventQueue.send`. A duplicate is harmless: receivers record what they did."""
        message = {
            "QueueUrl": self._url,
            "MessageBody": notice.message(),
            "DelaySeconds": delay,
        }
        response = _sqs(self._client, "SendMessage", message)
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to a message")

    def send_many(self, notices: Sequence[JobEvent]) -> list[JobEvent]:
        """See `EventQueue.send_many`."""
        sent: list[JobEvent] = []
        for start in range(0, len(notices), MAX_ENTRIES):
            some = notices[start : start + MAX_ENTRIES]
            entries = [
                {"Id": str(number), "MessageBody": notice.message()}
                for number, notice in enumerate(some)
            ]
            payload = {"QueueUrl": self._url, "Entries": entries}
            with suppress(Transient):
                response = _sqs(self._client, "SendMessageBatch", payload)
                if response.status == 200:
                    answer = json.loads(response.body)
                    sent += [some[int(entry["Id"])] for entry in answer.get("Successful") or ()]
        return sent


class QueueVisibility:
    """The visibility of a queue's messages; see `quintet.jobs.messages.Visibility`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `Visibility.delay`."""
        waits = list(seconds.items())
        for start in range(0, len(waits), MAX_ENTRIES):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": wait}
                for number, (receipt, wait) in enumerate(waits[start : start + MAX_ENTRIES])
            ]
            payload = {"QueueUrl": self._url, "Entries": entries}
            with suppress(Transient):
                _sqs(self._client, "ChangeMessageVisibilityBatch", payload)

    def postpone(self, receipt: str, seconds: int) -> None:
        """Make one message visible again after `seconds`.

        Raises:
            Transient: the queue did not accept it.
        """
        message = {"QueueUrl": self._url, "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
        response = _sqs(self._client, "ChangeMessageVisibility", message)
        if response.status != 200:
            raise Transient(f"sqs answered {error_name(response) or response.status}")


class DeadLetterQueue:
    """Dead letters; see `quintet.jobs.sweep.DeadLetters` and `quintet.jobs.messages`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def look(self, most: int) -> list[str]:
        """See `DeadLetters.look`. A later call sees the messages that this one misses."""
        held: dict[str, str] = {}
        try:
            while len(held) < most:
                # received messages stay hidden, so that the next call returns others
                messages = self._receive()
                if not messages:
                    break
                held |= {message["ReceiptHandle"]: message["Body"] for message in messages}
        finally:
            visibility = QueueVisibility(self._client, self._url)
            visibility.delay(dict.fromkeys(held, 0))
        return list(held.values())[:most]

    def put(self, body: str) -> None:
        """See `quintet.jobs.messages.DeadLetterBox.put`."""
        response = _sqs(self._client, "SendMessage", {"QueueUrl": self._url, "MessageBody": body})
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to the send of a dead letter")

    def _receive(self) -> Sequence[Mapping[str, str]]:
        payload = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": MAX_ENTRIES,
            "VisibilityTimeout": HOLD_SECONDS,
        }
        response = _sqs(self._client, "ReceiveMessage", payload)
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to the receive of dead letters")
        found: list[dict[str, str]] = json.loads(response.body).get("Messages") or []
        return found


class StopQueue:
    """The queue of what stops rollouts; see `quintet.rollouts.stops.StopBox`."""

    def __init__(self, client: AwsClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, stop: Stop) -> None:
        """See `StopBox.send`."""
        sent = {"QueueUrl": self._url, "MessageBody": message(stop)}
        response = _sqs(self._client, "SendMessage", sent)
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to what stops a rollout")
