"""The stream's sink and checkpoints: the versions in memory and on moto keep one contract."""

from __future__ import annotations

import pytest
from tests.functions.conftest import StreamAws
from tests.kits.streams import NOW

from quintet.aws.checkpoints import CheckpointTable
from quintet.aws.client import AwsClient
from quintet.aws.stream_bucket import StreamBucket
from quintet.errors import Transient
from quintet.streaming.checkpoints import Ahead, Checkpoint, Checkpoints, MemoryCheckpoints
from quintet.streaming.commit_log import MemorySink, Sink, Stored
from quintet.streaming.sequences import padded

KINDS = ("memory", "aws")
FIRST, SECOND = Stored(b"one", padded("1")), Stored(b"two", padded("2"))


@pytest.fixture(params=KINDS)
def sink(request: pytest.FixtureRequest, stream_aws: StreamAws) -> Sink:
    if request.param == "memory":
        return MemorySink()
    return StreamBucket(AwsClient("s3"), stream_aws.bucket)


@pytest.fixture(params=KINDS)
def checkpoints(request: pytest.FixtureRequest, stream_aws: StreamAws) -> Checkpoints:
    if request.param == "memory":
        return MemoryCheckpoints()
    table = stream_aws.environ["QUINTET_STREAM_TABLE"]
    return CheckpointTable(AwsClient("dynamodb"), table, clock=lambda: NOW)


def test_an_object_is_put_once(sink: Sink) -> None:
    assert sink.put("quarantine/a.jsonl", FIRST) == FIRST
    assert sink.put("quarantine/a.jsonl", SECOND) == FIRST
    assert sink.get("quarantine/a.jsonl") == FIRST


def test_an_object_that_is_not_there_is_a_failure_to_repeat(sink: Sink) -> None:
    with pytest.raises(Transient):
        sink.get("quarantine/b.jsonl")


def test_keys_are_in_order_and_begin_after_one(sink: Sink) -> None:
    for name in ("c", "a", "b"):
        sink.put(f"quarantine/{name}.jsonl", FIRST)
    sink.put("predictions/b.parquet", FIRST)
    whole = [f"quarantine/{name}.jsonl" for name in "abc"]
    assert sink.keys("quarantine/", "") == whole
    assert sink.keys("quarantine/", "quarantine/a") == whole
    assert sink.keys("quarantine/", "quarantine/a.jsonl") == whole[1:]
    assert sink.keys("quarantine/", "quarantine/c.jsonl") == []


def test_a_shard_without_a_checkpoint_begins_anew(checkpoints: Checkpoints) -> None:
    assert checkpoints.read("s/1") == Checkpoint()


def test_checkpoints_of_two_invocations_are_joined_and_never_go_back(
    checkpoints: Checkpoints,
) -> None:
    beyond = {"predictions/a": Ahead("a", padded("9"))}
    checkpoints.advance("s/1", Checkpoint(padded("5"), beyond), Checkpoint())
    checkpoints.advance("s/1", Checkpoint(padded("7")), Checkpoint())  # had not read the first
    expected = Checkpoint(padded("7"), beyond)
    assert checkpoints.read("s/1") == expected
    checkpoints.advance("s/1", Checkpoint(padded("6")), Checkpoint(padded("5"), beyond))
    assert checkpoints.read("s/1") == expected
    assert checkpoints.read("s/2") == Checkpoint()


def test_what_a_checkpoint_has_passed_is_forgotten(checkpoints: Checkpoints) -> None:
    first = Checkpoint(padded("5"), {"a": Ahead("a", padded("6")), "b": Ahead("b", padded("9"))})
    checkpoints.advance("s/1", first, Checkpoint())
    checkpoints.advance("s/1", Checkpoint(padded("7")), first)
    assert checkpoints.read("s/1") == Checkpoint(padded("7"), {"b": Ahead("b", padded("9"))})
