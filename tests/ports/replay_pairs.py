"""The ports of replays, in memory and on AWS."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ConnectionClosedError
from tests.kits.jobs import NOW, job
from tests.ports.pair import Aws, Pair

from quintet.aws.jobs import JobTable
from quintet.batch.stores import MemoryInputBucket, MemoryObjectStore
from quintet.jobs.job import JobOutcome
from quintet.jobs.memory import MemoryJobs
from quintet.replay.aws.jobs import ReplayJobTable
from quintet.replay.aws.messages import SqsMessages
from quintet.replay.aws.objects import S3MarkObjects, S3ReplayInbox, S3StreamObjects
from quintet.replay.aws.stream import KinesisStream
from quintet.replay.dead_letters import MemoryMessages, Messages
from quintet.replay.items import ReplayError
from quintet.replay.jobs import MemoryReplayJobs, ReplayJobs
from quintet.replay.marks import MarkObjects, MemoryMarkObjects
from quintet.replay.run_quarantine import MemoryReplayInbox, ReplayInbox
from quintet.replay.stream_objects import (
    EventStream,
    MemoryEventStream,
    MemoryStreamObjects,
    StreamObjects,
)

__all__ = ["REPLAY_PAIRS"]

LATER = NOW + 3600
PROBLEM = {"type": "about:blank", "title": "Poison", "status": 500, "detail": "no answer"}


class _Boto:
    """A boto3 client whose calls fail as `Aws.fault` says; it does not send any again."""

    def __init__(self, service: str, aws: Aws) -> None:
        self._client = aws.boto(service)
        self._aws = aws

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._client, operation)

        def call(*names: str, **given: Any) -> Any:
            if self._aws.fault == "throttled":
                raise ConnectionClosedError(endpoint_url=self._aws.url)
            found = real(*names, **given)
            if self._aws.fault.startswith("lost") and operation.startswith(("send", "put")):
                raise ConnectionClosedError(endpoint_url=self._aws.url)
            return found

        return call


def _failed(jobs: Any) -> Any:
    """A store with a job that failed on our side."""
    jobs.accept(job("j1"))
    lease = jobs.lease("j1", "w1", NOW, 60).lease
    jobs.settle("j1", lease, JobOutcome(problem=PROBLEM), NOW + 1)
    return jobs


def _job_table(aws: Aws) -> ReplayJobTable:
    jobs = _failed(JobTable(aws.signed("dynamodb"), aws.table("JobsTable"), retention_days=7))
    return ReplayJobTable(aws.signed("dynamodb"), jobs.name, lambda: LATER)


def _letters() -> MemoryMessages:
    memory = MemoryMessages("source")
    memory.put("one")
    return memory


def _letter_queue(aws: Aws) -> SqsMessages:
    sqs = aws.boto("sqs")
    dead = sqs.create_queue(QueueName=f"{aws.name}-dead")["QueueUrl"]
    named = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": named["QueueArn"], "maxReceiveCount": 5}
    sqs.set_queue_attributes(QueueUrl=aws.queue, Attributes={"RedrivePolicy": json.dumps(policy)})
    sqs.send_message(QueueUrl=dead, MessageBody="one")
    found = SqsMessages(dead, _Boto("sqs", aws), wait=0)
    assert found.source == aws.name
    return found


def _sent_back(port: Any, aws: Aws | None) -> set[str]:
    return aws.bodies() if aws else {message.body for message in port.returned}


def _stream(aws: Aws) -> KinesisStream:
    aws.boto("kinesis").create_stream(StreamName=aws.name, ShardCount=1)
    return KinesisStream(aws.name, _Boto("kinesis", aws))


def _objects(aws: Aws) -> S3StreamObjects:
    for key in ("a/b/1", "a/c/2", "d"):
        aws.boto("s3").put_object(Bucket=aws.bucket(), Key=key, Body=key.encode())
    return S3StreamObjects(aws.signed("s3"), aws.name)


def _first_mark(port: Any) -> None:
    assert port.swap("marks/1", b"1", None)


REPLAY_PAIRS = {
    "jobs of letters": Pair(
        ports=(ReplayJobs,),
        memory=lambda: MemoryReplayJobs(_failed(MemoryJobs()), lambda: LATER),
        adapter=_job_table,
        calls={
            "find": lambda p: [p.find("j1"), p.find("none")],
            "reopen": lambda p: p.reopen("j1"),
        },
        state=lambda p, aws: p.find("j1"),
        once=frozenset({"reopen"}),
    ),
    "letters": Pair(
        ports=(Messages,),
        memory=_letters,
        adapter=_letter_queue,
        calls={
            "count": lambda p: p.count(),
            "receive": lambda p: [message.body for message in p.receive()],
            "release": lambda p: p.release(p.receive()),
            "send_back": lambda p: [bool(p.send_back(one, "r1")) for one in p.receive()],
        },
        state=_sent_back,
        refused=ReplayError,
        once=frozenset({"send_back"}),
    ),
    "objects of the stream": Pair(
        ports=(StreamObjects,),
        memory=lambda: MemoryStreamObjects({key: key.encode() for key in ("a/b/1", "a/c/2", "d")}),
        adapter=_objects,
        calls={
            "list": lambda p: [(one.key, one.size) for one in p.list("a/")],
            "folders": lambda p: list(p.folders("a/")),
            "read": lambda p: p.read("d"),
        },
        state=lambda p, aws: None,
    ),
    "stream": Pair(
        ports=(EventStream,),
        memory=lambda: MemoryEventStream("events"),
        adapter=_stream,
        calls={
            "put": lambda p: p.put([("k", b"new")]),
            "since": lambda p: list(p.since(0.0)),
        },
        before=lambda p: p.put([("k", b"old")]),
        state=lambda p, aws: set(p.since(0.0)),
        refused=ReplayError,
        once=frozenset({"put"}),
    ),
    "inbox of replays": Pair(
        ports=(ReplayInbox,),
        memory=lambda: MemoryReplayInbox(MemoryInputBucket(), "inbox"),
        adapter=lambda aws: S3ReplayInbox(aws.signed("s3"), aws.bucket(versions=True)),
        calls={"put_once": lambda p: bool(p.put_once("a", b"1", {"quintet-output": "csv"}))},
        state=lambda p, aws: p.put_once("a", b"2", {}) == p.put_once("a", b"3", {}),
    ),
    "marks": Pair(
        ports=(MarkObjects,),
        memory=lambda: MemoryMarkObjects(MemoryObjectStore()),
        adapter=lambda aws: S3MarkObjects(aws.signed("s3"), aws.bucket()),
        calls={
            "swap": lambda p: p.swap("marks/2", b"2", None),
            "version": lambda p: p.version("marks/1").age >= 0,
        },
        before=_first_mark,
        state=lambda p, aws: p.swap("marks/2", b"3", None),
    ),
}
