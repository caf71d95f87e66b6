"""The local AWS's SQS under calls at once: nothing is lost, nothing is handed out twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.kits.local_aws import LocalAws

MESSAGES = 400


@pytest.fixture
def queues(local_aws: LocalAws) -> Iterator[tuple[Any, str, str]]:
    """A client, a queue whose messages are dead after two receives, and its dead letters."""
    sqs = local_aws.client("sqs")
    dead = sqs.create_queue(QueueName="queues-test-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 2}
    url = sqs.create_queue(
        QueueName="queues-test", Attributes={"RedrivePolicy": json.dumps(policy)}
    )["QueueUrl"]
    yield sqs, url, dead
    for one in (url, dead):
        sqs.delete_queue(QueueUrl=one)


def test_messages_are_sent_received_and_deleted_at_once(queues: tuple[Any, str, str]) -> None:
    sqs, url, _ = queues
    received: Counter[str] = Counter()
    lock = threading.Lock()

    def send(number: int) -> None:
        sqs.send_message(QueueUrl=url, MessageBody=str(number))

    def take(_: int) -> None:
        while received.total() < MESSAGES:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in found.get("Messages", []):
                with lock:
                    received[message["Body"]] += 1
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    with ThreadPoolExecutor(8) as pool:
        takers = pool.map(take, range(4))
        list(pool.map(send, range(MESSAGES)))
        list(takers)
    assert received == Counter(str(number) for number in range(MESSAGES))
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_what_is_received_too_often_becomes_a_dead_letter(queues: tuple[Any, str, str]) -> None:
    sqs, url, dead = queues
    attributes = {"why": {"DataType": "String", "StringValue": "poison"}}
    sqs.send_message(QueueUrl=url, MessageBody="poison", MessageAttributes=attributes)
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=60)
    counts = []
    for _ in range(2):
        (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
        assert "Messages" not in sqs.receive_message(QueueUrl=url)  # out of sight
        counts.append(message["Attributes"]["ApproximateReceiveCount"])
        handle = message["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    assert counts == ["1", "2"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    (letter,) = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"]
    assert (letter["Body"], letter["MessageId"]) == ("poison", message["MessageId"])
    assert letter["MessageAttributes"] == attributes
