"""The ports of the stream, of its alerts and of features, in memory and on AWS."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.kits.alerts import alert
from tests.kits.streams import NOW, sequence
from tests.kits.windows import PLAIN, Row, Shard, contract
from tests.ports.pair import Aws, Pair

from quintet.api.scores import ScoreReader
from quintet.aws.alerts import AlertTable, AlertTopic
from quintet.aws.checkpoints import CheckpointTable
from quintet.aws.features import FeatureTable, entity_key
from quintet.aws.latest import LatestTable
from quintet.aws.scored_ids import ScoredIdTable
from quintet.aws.stream_bucket import StreamBucket
from quintet.aws.windows import WindowTable
from quintet.features import FeatureSource, MemoryFeatures
from quintet.streaming.alerts import (
    AlertChannel,
    AlertState,
    LastAlert,
    MemoryAlertChannel,
    MemoryAlertState,
)
from quintet.streaming.checkpoints import Ahead, Checkpoint, Checkpoints, MemoryCheckpoints
from quintet.streaming.commit_log import MemorySink, Sink, Stored
from quintet.streaming.latest import Latest, LatestScores, MemoryLatest
from quintet.streaming.record_ids import IdentifiedRows, MemoryScoredIds, ScoredIds
from quintet.streaming.sequences import padded
from quintet.streaming.windows import MemoryWindows, Part, WindowStore

__all__ = ["STREAM_PAIRS"]

OLD, NEW = Stored(b"one", padded("1")), Stored(b"two", padded("2"))
BEFORE = Checkpoint(padded("5"), {"a": Ahead("a", padded("9"))})
NAMES = [aggregate.name for aggregate in PLAIN]


def _part(*rows: Row, shard: str = "events/shard-0") -> Part:
    memory = MemoryWindows()
    Shard(memory, shard).call(contract(PLAIN), rows, final=True)
    ((part,),) = (found.values() for found in memory.parts.values())
    return part


FIRST = _part(Row("ann", 1.5), Row("bob", 2.0))
OTHER = _part(Row("ann", 0.25), shard="events/shard-1")


def _window_table(aws: Aws) -> WindowTable:
    found = WindowTable(
        aws.signed("dynamodb"),
        aws.table("StreamTable"),
        aws.table("FeaturesTable"),
        sleep=lambda seconds: None,
    )
    return found


def _windows(store: Any, aws: Aws | None) -> Any:
    features: FeatureSource = (
        store.features
        if aws is None
        else FeatureTable(aws.signed("dynamodb"), f"{aws.name}-FeaturesTable", clock=lambda: NOW)
    )
    return store.read("shop", 0.0), features.fetch("customer", ["ann", "bob"], NAMES)


def _rows(*ids: int) -> IdentifiedRows:
    numbers = np.array(ids, dtype=np.uint64)
    return IdentifiedRows(numbers, numbers, np.full(len(ids), NOW))


def _ids(store: Any, done: str = "9") -> list[int]:
    found: list[int] = store.read("s/1", padded(done), NOW - 5).ids.tolist()
    return found


def _score(record: int, value: float) -> Latest:
    return Latest(
        model="room",
        entity_key="sensor",
        entity="s1",
        outputs={"anomaly": value},
        version=2,
        arrived=NOW,
        sequence=sequence(record),
    )


def _latest(store: Any) -> Any:
    return store.get("room", "sensor", "s1", NOW).outputs


def _topic(aws: Aws) -> AlertTopic:
    sns, sqs = aws.boto("sns"), aws.boto("sqs")
    arn = sns.create_topic(Name=aws.name)["TopicArn"]
    names = sqs.get_queue_attributes(QueueUrl=aws.queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=names["Attributes"]["QueueArn"])
    return AlertTopic(aws.signed("sns"), arn)


def _alerts(channel: Any, aws: Aws | None) -> set[bool]:
    """Whether the alert came: it may come twice."""
    told = [one.id for one in channel.alerts] if aws is None else aws.bodies()
    return {alert().id in text for text in told}


def _features() -> MemoryFeatures:
    memory = MemoryFeatures()
    memory.put("card", "one", "amount", 12.5, 100.0)
    return memory


def _feature_table(aws: Aws) -> FeatureTable:
    item = {"amount": {"N": "12.5"}, "amount@": {"N": "100"}}
    aws.boto("dynamodb").put_item(
        TableName=aws.table("FeaturesTable"),
        Item={"entity": {"S": entity_key("card", "one")}, **item},
    )
    table = f"{aws.name}-FeaturesTable"
    return FeatureTable(aws.signed("dynamodb"), table, clock=lambda: NOW, sleep=lambda s: None)


STREAM_PAIRS = {
    "sink": Pair(
        ports=(Sink,),
        memory=MemorySink,
        adapter=lambda aws: StreamBucket(aws.signed("s3"), aws.bucket()),
        calls={
            "put": lambda p: p.put("a/new.jsonl", NEW),
            "get": lambda p: p.get("a/old.jsonl"),
            "keys": lambda p: p.keys("a/", ""),
        },
        before=lambda p: p.put("a/old.jsonl", OLD),
        state=lambda p, aws: {key: p.get(key) for key in p.keys("a/", "")},
    ),
    "checkpoints": Pair(
        ports=(Checkpoints,),
        memory=MemoryCheckpoints,
        adapter=lambda aws: CheckpointTable(
            aws.signed("dynamodb"), aws.table("StreamTable"), clock=lambda: NOW
        ),
        calls={
            "read": lambda p: p.read("s/1"),
            "advance": lambda p: p.advance("s/1", Checkpoint(padded("7")), BEFORE),
        },
        before=lambda p: p.advance("s/1", BEFORE, Checkpoint()),
        state=lambda p, aws: p.read("s/1"),
    ),
    "windows": Pair(
        ports=(WindowStore,),
        memory=MemoryWindows,
        adapter=_window_table,
        calls={"close": lambda p: p.close([FIRST, OTHER])},
        before=lambda p: p.close([FIRST]),
        state=_windows,
    ),
    "scored ids": Pair(
        ports=(ScoredIds,),
        memory=MemoryScoredIds,
        adapter=lambda aws: ScoredIdTable(
            aws.signed("dynamodb"), aws.table("StreamTable"), lambda: NOW
        ),
        calls={
            "read": _ids,
            "add": lambda p: p.add("s/1", padded("9"), _rows(3, 4)),
        },
        before=lambda p: p.add("s/1", padded("5"), _rows(1, 2)),
        state=lambda p, aws: _ids(p),
    ),
    "latest scores": Pair(
        ports=(LatestScores, ScoreReader),
        memory=MemoryLatest,
        adapter=lambda aws: LatestTable(
            aws.signed("dynamodb"), aws.table("ScoresTable"), kept_seconds=60
        ),
        calls={"put": lambda p: p.put([_score(2, 0.5)]), "get": _latest},
        before=lambda p: p.put([_score(1, 0.25)]),
        state=lambda p, aws: _latest(p),
        again=frozenset({"put"}),
    ),
    "last alerts": Pair(
        ports=(AlertState,),
        memory=MemoryAlertState,
        adapter=lambda aws: AlertTable(aws.signed("dynamodb"), aws.table("StreamTable")),
        calls={
            "last": lambda p: p.last("room", "s1"),
            "put": lambda p: p.put(alert(2), LastAlert(alert(1))),
            "sent": lambda p: p.sent(alert(1)),
        },
        before=lambda p: p.put(alert(1), None),
        state=lambda p, aws: p.last("room", "s1"),
        again=frozenset({"put"}),
    ),
    "alert channel": Pair(
        ports=(AlertChannel,),
        memory=MemoryAlertChannel,
        adapter=_topic,
        calls={"send": lambda p: p.send(alert())},
        state=_alerts,
    ),
    "features": Pair(
        ports=(FeatureSource,),
        memory=_features,
        adapter=_feature_table,
        calls={"fetch": lambda p: p.fetch("card", ["one", "two"], ["amount", "count"])},
        state=lambda p, aws: None,
    ),
}
