"""The ports of captures, of routes and rollouts, and of counts, in memory and on AWS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from tests.kits.evidence import evidence
from tests.kits.registries import registry_on
from tests.kits.rollouts import cause, in_memory, on_server
from tests.ports.pair import Aws, Pair

from quintet.aws.captures import CaptureBucket
from quintet.aws.keys import CaptureKey
from quintet.aws.queues import StopQueue
from quintet.aws.registry import Registry
from quintet.aws.request_counts import RequestCounts
from quintet.aws.rollout_feed import RolloutFeedQueue
from quintet.aws.rollouts import Rollouts
from quintet.captures.opening import WrappedKeys
from quintet.captures.sealing import DataKeys, MemoryKeys
from quintet.captures.store import (
    CaptureObjects,
    CaptureSink,
    MemoryCaptures,
    MemoryRolloutFeed,
    RolloutFeed,
)
from quintet.monitoring.budgets import CountSource, MemoryCounts
from quintet.monitoring.burn import Counts
from quintet.rollouts import transitions
from quintet.rollouts.evidence_store import EvidenceObjects, EvidenceStore, MemoryEvidence
from quintet.rollouts.stops import MemoryStops, Stop, StopBox, message
from quintet.rollouts.store import RolloutStore
from quintet.serving.routes import MemoryRoutes, Routes

__all__ = ["CAPTURE_PAIRS"]

END = 1_800_000_000.0
STOP = Stop(model="small", at=5.0, by="monitor", reason="it burns")
LINE = {"model": "m", "rollout": "r#1", "event": "e", "entity": "0f", "event_time": 5.0}
LINES = [{**LINE, "route": "canary"}]


def _captures(aws: Aws) -> CaptureBucket:
    return CaptureBucket(aws.signed("s3"), aws.bucket())


def _first_capture(port: Any) -> None:
    port.put("captures/a", b"1")
    port.tag = port.get("captures/a").tag


def _bodies(port: Any, aws: Aws | None) -> dict[str, bytes]:
    return {key: port.get(key).body for key in port.keys("captures/")}


def _evidence_objects(aws: Aws) -> EvidenceObjects:
    objects = _captures(aws)
    return EvidenceObjects(objects, objects)


def _events(port: Any) -> list[str]:
    found: list[str] = port.read("m", "r1").event.tolist()
    return found


def _feed(aws: Aws) -> RolloutFeedQueue:
    return RolloutFeedQueue(aws.signed("sqs"), aws.queue, _evidence_objects(aws))


def _heard(port: Any, aws: Aws | None) -> Any:
    """The keys that were announced, and the events that have begun."""
    if aws is None:
        return set(port.keys), {line["event"] for line in port.lines}
    begun = EvidenceObjects(*[CaptureBucket(aws.signed("s3"), aws.name)] * 2).read("m", "r")
    return {json.loads(body)["key"] for body in aws.bodies()}, set(begun.event.tolist())


def _capture_key(aws: Aws) -> CaptureKey:
    return CaptureKey(aws.signed("kms"), aws.boto("kms").create_key()["KeyMetadata"]["Arn"], "test")


def _hold(port: Any) -> None:
    port.held = port.make()


def _begin(port: Any) -> None:
    """A rollout of version 2 begins; the next change pauses it."""
    change = transitions.start(
        port.read("small"), 2, cause(), id="r1", steps=(0.1, 1.0), shadow=False
    )
    assert port.write(change)
    port.next = transitions.pause(port.read("small"), cause(2.0))


def _registry(aws: Aws) -> Registry:
    server = registry_on(aws.url)
    on_server(server)
    return Registry(aws.signed("dynamodb"), server.table)


def _rollouts(aws: Aws) -> Rollouts:
    server = registry_on(aws.url)
    on_server(server)
    return Rollouts(aws.signed("dynamodb"), server.table)


def _counted() -> MemoryCounts:
    none = np.zeros(2)
    return MemoryCounts(END, {"m": Counts(np.array([3.0, 4.0]), none, none, none)})


def _request_counts(aws: Aws) -> RequestCounts:
    of = {"stage": aws.name, "model": "m", "route": "live", "service": "predict"}
    dimensions = [{"Name": name, "Value": value} for name, value in of.items()]
    data = [
        {
            "MetricName": "requests_count",
            "Dimensions": dimensions,
            "Timestamp": datetime.fromtimestamp(END - ago, UTC),
            "Value": value,
        }
        for ago, value in ((600, 3.0), (1, 4.0))
    ]
    aws.boto("cloudwatch").put_metric_data(Namespace="Quintet", MetricData=data)
    return RequestCounts(aws.signed("monitoring"), aws.name)


def _counts(port: Any) -> Any:
    found = port.read(["m", "n"], END, steps=2, seconds=300)
    columns = ("requests", "refused", "failed", "slow")
    return {model: [getattr(of, one).tolist() for one in columns] for model, of in found.items()}


CAPTURE_PAIRS = {
    "captures": Pair(
        ports=(CaptureSink, CaptureObjects),
        memory=MemoryCaptures,
        adapter=_captures,
        calls={
            "put": lambda p: p.put("captures/b", b"2"),
            "keys": lambda p: p.keys("captures/"),
            "get": lambda p: [p.get("captures/a").body, p.get("captures/none")],
            "swap": lambda p: p.swap("captures/a", b"2", p.tag),
            "delete": lambda p: p.delete(["captures/a", "captures/none"]),
        },
        before=_first_capture,
        state=_bodies,
    ),
    "feed of rollouts": Pair(
        ports=(RolloutFeed,),
        memory=MemoryRolloutFeed,
        adapter=_feed,
        calls={"announce": lambda p: p.announce("a"), "begun": lambda p: p.begun(LINES)},
        state=_heard,
    ),
    "data keys": Pair(
        ports=(DataKeys, WrappedKeys),
        memory=MemoryKeys,
        adapter=_capture_key,
        calls={
            "make": lambda p: len(p.make().plain),
            "unwrap": lambda p: p.unwrap(p.held.wrapped) == p.held.plain,
        },
        before=_hold,
        state=lambda p, aws: None,
    ),
    "evidence": Pair(
        ports=(EvidenceStore,),
        memory=MemoryEvidence,
        adapter=_evidence_objects,
        calls={
            "put": lambda p: p.put("m", "r1", 1, "b", evidence(1, event="new", at=9.0)),
            "read": _events,
        },
        before=lambda p: p.put("m", "r1", 0, "a", evidence(2)),
        state=lambda p, aws: _events(p),
    ),
    "stops": Pair(
        ports=(StopBox,),
        memory=MemoryStops,
        adapter=lambda aws: StopQueue(aws.signed("sqs"), aws.queue),
        calls={"send": lambda p: p.send(STOP)},
        state=lambda p, aws: aws.bodies() if aws else {message(stop) for stop in p.sent},
    ),
    "routes": Pair(
        ports=(Routes,),
        memory=lambda: MemoryRoutes([in_memory().read("small").route]),
        adapter=_registry,
        calls={"route": lambda p: p.route("small")},
        state=lambda p, aws: None,
    ),
    "rollouts": Pair(
        ports=(RolloutStore,),
        memory=in_memory,
        adapter=_rollouts,
        calls={
            "read": lambda p: p.read("small"),
            "write": lambda p: p.write(p.next),
            "sent": lambda p: p.sent("small", 2),
            "history": lambda p: p.history("small"),
            "active": lambda p: p.active(),
        },
        before=_begin,
        state=lambda p, aws: [p.read("small"), p.history("small"), p.active()],
    ),
    "counts": Pair(
        ports=(CountSource,),
        memory=_counted,
        adapter=_request_counts,
        calls={"read": _counts},
        state=lambda p, aws: None,
    ),
}
