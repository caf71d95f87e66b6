"""The payloads bucket and the queues, against moto; the blobs in memory under the same contract."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from tests.kits.aws import client, environ, moto_server

from quintet.aws.client import AwsClient
from quintet.aws.payloads import PayloadBucket
from quintet.aws.queues import JobEventQueue
from quintet.errors import NotFound, TooLarge
from quintet.jobs.memory import MemoryBlobs
from quintet.jobs.messages import EventQueue
from quintet.jobs.store import Blobs, JobEvent


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=["memory", "s3"])
def blobs(request: pytest.FixtureRequest) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs("a-bucket")
    url = request.getfixturevalue("url")
    client("s3", url).create_bucket(Bucket="a-bucket")
    return PayloadBucket(AwsClient("s3", environ=environ(url)), "a-bucket")


def test_what_is_put_is_found_at_its_place(blobs: Blobs) -> None:
    place = blobs.put("payloads/j1", b"\x00abc", "text/csv")
    assert place == "s3://a-bucket/payloads/j1"
    assert (blobs.get(place, 4), blobs.describe(place)) == (b"\x00abc", (4, "text/csv"))


def test_an_empty_blob_has_no_bytes(blobs: Blobs) -> None:
    place = blobs.put("inputs/empty", b"", "text/csv")
    assert (blobs.get(place, 10), blobs.describe(place)) == (b"", (0, "text/csv"))


def test_a_blob_that_is_too_large_is_refused(blobs: Blobs) -> None:
    place = blobs.put("inputs/large", b"12345", "text/csv")
    with pytest.raises(TooLarge, match="input: expected at most 4 bytes, got more"):
        blobs.get(place, 4)


@pytest.mark.parametrize("place", ["s3://a-bucket/none", "s3://other/payloads/j1", "x", ""])
def test_what_is_not_there_is_not_found(blobs: Blobs, place: str) -> None:
    with pytest.raises(NotFound, match="input: expected an object that can be read, got none"):
        blobs.get(place, 4)
    with pytest.raises(NotFound):
        blobs.describe(place)


def test_a_notice_is_sent_as_its_message(url: str) -> None:
    sqs = client("sqs", url)
    address = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex}")["QueueUrl"]
    queue: EventQueue = JobEventQueue(AwsClient("sqs", environ=environ(url)), address)
    queue.send(JobEvent("j1", "accepted", 5.0))
    (message,) = sqs.receive_message(QueueUrl=address)["Messages"]
    assert json.loads(message["Body"]) == {"job": "j1", "event": "accepted"}
