"""The messages of a dead-letter queue in SQS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from quintet.replay.aws.errors import replay_errors
from quintet.replay.dead_letters import MARK, Message, MessageCount
from quintet.replay.items import ReplayError

__all__ = ["SqsMessages"]

#: how long a received message stays hidden from other readers, unless it is released earlier
HOLD_SECONDS = 300
MAX_BATCH = 10


@dataclass(frozen=True)
class SqsMessages:
    """A dead-letter queue, by its URL; see `quintet.replay.dead_letters.Messages`.

    `wait` is the number of seconds of a long poll. With at least one second, SQS queries all of
    its servers; with 0, an empty response does not mean that the queue is empty.
    """

    url: str
    sqs: Any
    wait: int = 1

    @cached_property
    def source_url(self) -> str:
        """The URL of the queue from which its messages came.

        Raises:
            ReplayError: it is not the dead-letter queue of exactly one queue.
        """
        with replay_errors():
            found = self.sqs.list_dead_letter_source_queues(QueueUrl=self.url)["queueUrls"]
        if len(found) != 1:
            raise ReplayError(
                f"{_name(self.url)}: {len(found)} queues send their dead letters here"
            )
        url: str = found[0]
        return url

    @property
    def source(self) -> str:
        """See `Messages`."""
        return _name(self.source_url)

    def count(self) -> MessageCount:
        """See `Messages.count`."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with replay_errors():
            got = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return MessageCount(*(int(got["Attributes"][name]) for name in names))

    def receive(self) -> Sequence[Message]:
        """See `Messages.receive`."""
        with replay_errors():
            got = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=MAX_BATCH,
                VisibilityTimeout=HOLD_SECONDS,
                WaitTimeSeconds=self.wait,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return [_message(found) for found in got.get("Messages", [])]

    def release(self, messages: Sequence[Message]) -> None:
        """See `Messages.release`."""
        for start in range(0, len(messages), MAX_BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.handle, "VisibilityTimeout": 0}
                for number, message in enumerate(messages[start : start + MAX_BATCH])
            ]
            with replay_errors():
                self.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def send_back(self, message: Message, replay: str) -> str:
        """See `Messages.send_back`.

        Between the send and the delete, the message is in both queues: it may be delivered
        twice, as with SQS itself.
        """
        mark = {MARK: {"DataType": "String", "StringValue": replay}}
        with replay_errors():
            sent = self.sqs.send_message(
                QueueUrl=self.source_url,
                MessageBody=message.body,
                MessageAttributes={**message.attributes, **mark},
            )
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message.handle)
        new: str = sent["MessageId"]
        return new


def _message(found: Mapping[str, Any]) -> Message:
    return Message(
        found["MessageId"],
        found["Body"],
        found.get("MessageAttributes") or {},
        int(found["Attributes"]["SentTimestamp"]) / 1000,
        found["ReceiptHandle"],
    )


def _name(url: str) -> str:
    return urlsplit(url).path.rsplit("/", maxsplit=1)[-1]
