"""Records of a stream for tests: models of the online kit with windows, and Lambda's events."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from tests.kits import models

from quintet.contract import Aggregate, AlertRule, Contract, Stream
from quintet.errors import QuintetError
from quintet.serving.crashes import CrashLog
from quintet.serving.model_cache import ModelCache, PublishedModel
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet.streaming.model_rows import ShardBatch, TumblingWindow

NOW = 1_800_000_000.0
STREAM = "events"
SHARD = "shardId-000000000000"

#: meters of the model "log": an alert past 2, windows by arrival
METER: Contract = models.renamed(
    models.LOG,
    entity="meter",
    alert=AlertRule(output="logs", above=2.0, cooldown=60.0),
    stream=Stream(
        aggregates=(
            Aggregate(name="readings", how="count"),
            Aggregate(name="x_sum", how="sum", of="x"),
            Aggregate(name="spent", how="sum", of="cost"),
            Aggregate(name="state", how="last", of="state"),
        )
    ),
)
#: the same by the records' own time, in windows of a minute
TIMED: Contract = models.renamed(
    METER,
    stream=Stream(aggregates=METER.stream.aggregates[:2], time="at", window=60.0),  # type: ignore[union-attr]
)


def cache_of(
    *models: PublishedModel,
    missing: Mapping[int, QuintetError] | None = None,
    crashes: CrashLog | None = None,
    **route: Any,
) -> ModelCache:
    """Loaded models; the first version of each is live. `route` are other fields of its route,
    `missing` versions that do not load."""
    loaded = {(one.contract.name, one.contract.version): one for one in models}
    routes = MemoryRoutes()
    for name, live in loaded:
        numbers = [*(n for other, n in loaded if other == name), *(missing or ())]
        own = {n: Version(n, "d", "s", 1000, "now") for n in numbers}
        routes.stored.setdefault(name, Route(name, live, 1, own, **route))

    class Loaded:
        """See `quintet.serving.model_cache.Loader`."""

        def load(self, model: str, version: int, seal: str | None = None) -> PublishedModel:
            if missing and version in missing:
                raise missing[version]
            return loaded[model, version]

    return ModelCache(routes, Loaded(), memory=10**9, clock=lambda: 0.0, crashes=crashes)


def reading(meter: Any = "m1", x: Any = 2.0, **more: Any) -> dict[str, Any]:
    """A row of METER."""
    return {"meter": meter, "x": x, "cost": 1.5, "state": "on", **more}


def data(*rows: Any, model: str | None = "log") -> bytes:
    """A record's data in the records form."""
    return json.dumps({"model": model, "records": list(rows)} if model else list(rows)).encode()


def sequence(number: int) -> str:
    """A sequence number as Kinesis makes them."""
    return str(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898 + number)


def shard_batch(*records: bytes, first: int = 0, at: float = NOW, shard: str = SHARD) -> ShardBatch:
    """Records that came at one moment."""
    numbers = range(first, first + len(records))
    return ShardBatch(
        f"{STREAM}/{shard}",
        [sequence(number) for number in numbers],
        [f"key-{number}" for number in numbers],
        list(records),
        np.full(len(records), at),
    )


def tumbling(
    start: float = NOW, *, state: Any = None, final: bool = False, early: bool = False
) -> TumblingWindow:
    """A window of half a minute."""
    return TumblingWindow(start, start + 30, {} if state is None else state, final, early)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(
    records: Sequence[bytes],
    *,
    first: int = 0,
    at: float = NOW,
    window: float | None = None,
    state: Any = None,
    final: bool = False,
    early: bool = False,
) -> dict[str, Any]:
    """Lambda's event; with `window`, of a source with windows of half a minute.

    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
    """
    arn = f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}"
    found: dict[str, Any] = {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"key-{first + place}",
                    "sequenceNumber": sequence(first + place),
                    "data": base64.b64encode(record).decode(),
                    "approximateArrivalTimestamp": at,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{SHARD}:{sequence(first + place)}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/score_stream",
                "awsRegion": "us-east-1",
                "eventSourceARN": arn,
            }
            for place, record in enumerate(records)
        ]
    }
    if window is not None:
        found |= {
            "window": {"start": _iso(window), "end": _iso(window + 30)},
            "state": {} if state is None else state,
            "shardId": SHARD,
            "eventSourceARN": arn,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": early,
        }
    return found


def publish(contract: Contract, s3: Any, dynamodb: Any, registry: str) -> None:
    """Publish a model of this kit to a bucket and a table of one name."""
    models.publish(contract, s3, dynamodb, registry, registry)
