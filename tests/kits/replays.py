"""The sources of a replay, in memory and on moto, each holding the same refused items."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from tests.kits.aws import client, environ
from tests.kits.batch import CATALOG, MODEL, STARTED, csv_bytes, row
from tests.kits.streams import NOW, SHARD, sequence

from quintet.aws.client import AwsClient
from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.scores_bucket import S3ConditionalObjects, S3ObjectStore
from quintet.batch.planning import plan_run
from quintet.batch.plans import Plan, run_name, unit_from
from quintet.batch.reports import report_run
from quintet.batch.requests import request_from
from quintet.batch.stores import (
    ConditionalObjects,
    InputBucket,
    MemoryConditionalObjects,
    MemoryInputBucket,
    MemoryObjectStore,
    ObjectStore,
)
from quintet.batch.units import score_unit
from quintet.errors import Refusal
from quintet.features import MemoryFeatures
from quintet.formats.quarantined import Quarantined
from quintet.replay.aws.messages import SqsMessages
from quintet.replay.aws.objects import S3MarkObjects, S3ReplayInbox, S3StreamObjects
from quintet.replay.aws.stream import KinesisStream
from quintet.replay.catalog import ReplayCatalog
from quintet.replay.dead_letters import DeadLetterSource, MemoryMessages
from quintet.replay.items import ReplaySource
from quintet.replay.marks import MarkObjects, MemoryMarkObjects
from quintet.replay.run_quarantine import MemoryReplayInbox, ReplayInbox
from quintet.replay.stream_objects import (
    MemoryEventStream,
    MemoryStreamObjects,
)
from quintet.replay.stream_quarantine import stream_quarantines
from quintet.streaming.sequences import padded
from quintet_local.sources.kinesis import Discard, Record
from quintet_local.sources.kinesis_events import Source, failure_key, failure_record

__all__ = ["PLACES", "Killed", "Saboteur", "World", "aws_world", "memory_world"]

PLACES = ("WorkDeadLetters", "tiny", "StreamQuarantine", "StreamFailures")
PORTS = {"messages", "store", "marked", "files", "inbox", "objects", "stream"}
FOLDER = "quarantine/date=2027-01-15/hour=08"
_numbers = itertools.count(1)


@dataclass
class World:
    """A source of refused items; `open` opens it anew, `sent` lists what came back, in order.

    `store` takes audit records; `wait` passes the time for which a killed replay holds items.
    """

    open: Callable[[], Any]
    sent: Callable[[], list[str]]
    store: ObjectStore
    wait: Callable[[], None] = lambda: None


class Killed(BaseException):
    """The process was killed."""


@dataclass
class Saboteur:
    """Kills a replay at a call of a port: at the call number `at`, before or after it is made."""

    at: int = 0
    after: bool = False
    calls: list[str] = field(default_factory=list)

    def over(self, source: Any) -> Any:
        """The source with its ports watched."""
        ports = {f.name for f in fields(source)} & PORTS
        return replace(source, **{name: _Port(getattr(source, name), self) for name in ports})


class _Port:
    def __init__(self, port: Any, saboteur: Saboteur) -> None:
        self._port, self._saboteur = port, saboteur

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            saboteur = self._saboteur
            saboteur.calls.append(name)
            hit = len(saboteur.calls) == saboteur.at
            if hit and not saboteur.after:
                raise Killed
            answer = found(*given, **named)
            if hit:
                raise Killed
            return answer

        return call


def memory_world(place: str, names: Sequence[str]) -> World:
    """A place in memory that holds items of these names."""
    store = MemoryObjectStore()
    marked = MemoryMarkObjects(store)
    if place == "WorkDeadLetters":
        messages = MemoryMessages("WorkQueue")
        for name in names:
            messages.put(name)
        return World(
            lambda: DeadLetterSource(place, messages),
            lambda: [message.body for message in messages.returned],
            store,
            messages.time_out,
        )
    if place == "tiny":
        files = MemoryInputBucket()
        version = files.put("inbox", "tiny/a.csv", _rows(names)).version_id
        cells = MemoryConditionalObjects(store.objects)
        into = MemoryReplayInbox(files, "inbox")
        return _run_world(files, into, (store, cells), marked, str(version))
    stream = MemoryEventStream("events")
    return _stream_world(
        place,
        names,
        stream_quarantines(MemoryStreamObjects(store.objects), store, marked, stream),
        lambda: [data.decode() for _, (_, data) in stream.records],
        store,
    )


def aws_world(place: str, names: Sequence[str], url: str) -> World:
    """A place on moto that holds items of these names."""
    s3, name = client("s3", url), f"replays-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    lean = AwsClient("s3", environ=environ(url))
    store, marked = S3ObjectStore(lean, name), S3MarkObjects(lean, name)
    if place == "WorkDeadLetters":
        return _sqs_world(client("sqs", url), name, names, store)
    if place == "tiny":
        inbox = f"{name}-inbox"
        s3.create_bucket(Bucket=inbox)
        s3.put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
        put = s3.put_object(Bucket=inbox, Key="tiny/a.csv", Body=_rows(names))
        files, into = S3InputBucket(lean), S3ReplayInbox(lean, inbox)
        cells = S3ConditionalObjects(lean, name)
        return _run_world(files, into, (store, cells), marked, put["VersionId"])
    kinesis = client("kinesis", url)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    objects, stream = S3StreamObjects(lean, name), KinesisStream(name, kinesis)
    sources = stream_quarantines(objects, store, marked, stream)

    def sent() -> list[str]:
        shard = {"StreamName": name, "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
        begin = kinesis.get_shard_iterator(**shard)["ShardIterator"]
        return [r["Data"].decode() for r in kinesis.get_records(ShardIterator=begin)["Records"]]

    return _stream_world(place, names, sources, sent, store)


def _sqs_world(sqs: Any, name: str, names: Sequence[str], store: ObjectStore) -> World:
    url = sqs.create_queue(QueueName=f"{name}-WorkDeadLetters")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 5}
    source = sqs.create_queue(
        QueueName=f"{name}-WorkQueue", Attributes={"RedrivePolicy": json.dumps(policy)}
    )["QueueUrl"]
    for body in names:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    found: list[str] = []

    def sent() -> list[str]:
        while got := sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10).get("Messages"):
            for message in got:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
        return list(found)

    return World(
        lambda: DeadLetterSource("WorkDeadLetters", SqsMessages(url, sqs, wait=0)), sent, store
    )


def _rows(names: Sequence[str]) -> bytes:
    good = row(0)
    return csv_bytes([good, *(row(0, customer=name, country="xx") for name in names), good])


def _run_world(
    files: InputBucket,
    inbox: ReplayInbox,
    stores: tuple[ObjectStore, ConditionalObjects],
    marked: MarkObjects,
    version: str,
) -> World:
    store, cells = stores
    asked = {"bucket": inbox.bucket, "key": "tiny/a.csv", "version_id": version}
    run = run_name(inbox.bucket, "tiny/a.csv", version)
    request = request_from(asked, run=run, started=STARTED)
    plan = plan_run(
        request, catalog=CATALOG, inbox=files, store=store, cells=cells, unit_bytes=1 << 20
    )
    assert isinstance(plan, Plan), plan
    for unit in json.loads(store.get(plan.units_key) or b"[]"):
        score_unit(
            unit_from(unit),
            plan,
            model=lambda: MODEL,
            inbox=files,
            store=store,
            cells=cells,
            features=MemoryFeatures(),
            clock=lambda: 0.0,
        )
    ended = datetime(2026, 11, 20, 9, tzinfo=UTC)
    report_run(plan.folder, store=store, cells=cells, clock=lambda: ended)

    def sent() -> list[str]:
        listed = [found.key for found in files.keys(inbox.bucket, "tiny/replays/")]
        found = []
        for key in sorted(listed, key=lambda key: int(key.rpartition("-")[2][: -len(".csv")])):
            snapshot = files.snapshot(inbox.bucket, key, None)
            lines = files.read(snapshot, 0, snapshot.size).decode().splitlines()[1:]
            found += [line.partition(",")[0] for line in lines]
        return found

    catalog = ReplayCatalog("test", [], store, marked, files, inbox)
    return World(lambda: catalog.named("tiny"), sent, store)


def _stream_world(
    place: str,
    names: Sequence[str],
    sources: Sequence[ReplaySource],
    sent: Callable[[], list[str]],
    store: ObjectStore,
) -> World:
    put = {"StreamQuarantine": _quarantine, "StreamFailures": _give_up}[place]
    stream = sources[0].destination
    for start in range(0, len(names), 2):  # several objects, of several records
        put(store, stream, names[start : start + 2], start)

    def opened() -> ReplaySource:
        (found,) = (source for source in sources if source.name == place)
        # the next replay does not wait for one that was killed
        return replace(found, hold=0)  # type: ignore[type-var]

    return World(opened, sent, store)


def _quarantine(store: ObjectStore, stream: str, names: Sequence[str], first: int) -> None:
    refusal = Refusal(None, "data", "JSON", "other bytes")
    lines = [
        Quarantined(
            {
                "shard": f"{stream}/{SHARD}",
                "sequence": sequence(first + number),
                "row": None,
                "model": None,
                "partition_key": f"key-{first + number}",
                "arrived": NOW,
            },
            [refusal],
            name.encode(),
        ).to_line(binary=True)
        for number, name in enumerate(names)
    ]
    key = f"{FOLDER}/{stream}.{SHARD}-{padded(sequence(first))}.jsonl"
    store.put(key, b"".join(lines))


def _give_up(store: ObjectStore, stream: str, names: Sequence[str], first: int) -> None:
    arn = f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"
    source = Source("mapping", arn, "function", "role")
    records = tuple(
        Record(sequence(first + number), f"key-{first + number}", name.encode(), NOW)
        for number, name in enumerate(names)
    )
    discard = Discard(records, "RetryAttemptsExhausted", 6, None, None)
    body = failure_record(source, SHARD, discard, NOW + first, full=True)
    key = failure_key(source, SHARD, NOW + first, uuid.uuid4())
    store.put(key, json.dumps(body).encode())
