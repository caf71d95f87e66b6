"""Captures for tests: lines as `predict` writes them, deliveries as CloudWatch Logs sends them."""

from __future__ import annotations

import base64
import gzip
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson
from arro3 import core
from tests.kits.models import NOW, SHOP, online

from quintet.captures.compaction import unique
from quintet.captures.lines import impression_line, prediction_lines
from quintet.captures.places import RAW, TABLE
from quintet.captures.plans import CapturePlan
from quintet.captures.store import CaptureObjects, MemoryCaptures, Stored
from quintet.captures.tables import concat, read_parquet, table_of
from quintet.columns import from_records
from quintet.contract import Capture, Contract
from quintet.errors import Transient
from quintet.serving import ModelRoute
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order

__all__ = [
    "CAPTURED",
    "FaultyCaptures",
    "delivery",
    "impression",
    "impression_line_of",
    "lines_of",
    "records",
    "table",
    "until_done",
]

T = TypeVar("T")

#: the model "shop", captured
CAPTURED = replace(SHOP, capture=Capture(rate=1, days=7))


def lines_of(
    event: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    now: float = NOW,
    contract: Contract = CAPTURED,
) -> list[str]:
    """The lines of a request with these records."""
    service = online(contract)
    route = ModelRoute(service.models.get(contract.name), "live")
    batch = from_records(contract, list(rows))
    prediction = in_caller_order(predict(route, batch, service.features, now))
    fields = {"event": event, "event_time": now, "path": "online", "route": "live"}
    plan: CapturePlan = contract.compiled[CapturePlan]
    return [line.decode() for line in prediction_lines(plan, fields, prediction)]


def impression(user: str, items: Sequence[int] = (5, 17), **other: Any) -> dict[str, Any]:
    """What a recommendation showed to a user, without exploration."""
    return {
        "user": user,
        "step": "reranked",
        "why": "",
        "items": list(items),
        "propensity": [1.0] * len(items),
        "explored": False,
        "ranked": list(items),
        "candidates": {"model": "candidates", "version": 1, "run": "r1", "age_s": 3600.0},
        "filtered": {"seen": [3], "stock": [], "category": [], "unknown": []},
        "context": {"items": [3], "device": "phone", "time": NOW, "segment": ""},
        **other,
    }


def impression_line_of(
    event: str,
    shown: Mapping[str, Any],
    *,
    now: float = NOW,
    contract: Contract = CAPTURED,
    rows: int = 0,
    **fields: Any,
) -> str:
    """The line of an impression."""
    plan: CapturePlan = contract.compiled[CapturePlan]
    about = {"event": event, "event_time": now, "path": "online", "route": "live", **fields}
    return impression_line(plan, about, shown, rows).decode()


def delivery(lines: Sequence[str], *, kind: str = "DATA_MESSAGE") -> dict[str, Any]:
    """The event that a subscription filter sends for lines."""
    data = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "/aws/lambda/predict",
        "logStream": "2026/01/02/[$LATEST]abc",
        "subscriptionFilters": ["captures"],
        "logEvents": [
            {"id": str(number), "timestamp": 1, "message": line}
            for number, line in enumerate(lines)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(orjson.dumps(data))).decode()}}


def table(objects: CaptureObjects) -> core.Table:
    """All captures, each row once, as a reader takes them."""
    keys = [key for prefix in (TABLE, RAW) for key in objects.keys(prefix)]
    stored = [found for found in map(objects.get, keys) if found is not None]
    return unique(concat([table_of(0, {}, {}), *(read_parquet(one.body) for one in stored)]))


def records(rows: core.Table, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of a table, row by row."""
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


class FaultyCaptures(MemoryCaptures):
    """A tenth of all requests fail: half of them after they did what they were asked for.

    Each call is a request and, if that fails, another one, as the client of AWS does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(18)
        self.faults = 0

    def _call(self, done: Callable[[], T]) -> T:
        for _ in range(2):
            drawn = self._random.random()
            if drawn >= 0.1:
                return done()
            self.faults += 1
            if drawn < 0.05:
                done()
        raise Transient("the store did not answer")

    def put(self, key: str, body: bytes) -> None:
        """See `CaptureSink.put`."""
        self._call(lambda: super(FaultyCaptures, self).put(key, body))

    def keys(self, prefix: str) -> list[str]:
        """See `CaptureObjects.keys`."""
        return self._call(lambda: super(FaultyCaptures, self).keys(prefix))

    def get(self, key: str) -> Stored | None:
        """See `CaptureObjects.get`."""
        return self._call(lambda: super(FaultyCaptures, self).get(key))

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `CaptureObjects.swap`."""
        return self._call(lambda: super(FaultyCaptures, self).swap(key, body, tag))

    def delete(self, keys: Iterable[str]) -> None:
        """See `CaptureObjects.delete`."""
        for key in keys:
            self._call(lambda key=key: super(FaultyCaptures, self).delete([key]))  # type: ignore[misc]


def until_done(call: Callable[[], T], tries: int = 500) -> T:
    """What a call returns that is repeated until the store answers."""
    for _ in range(tries):
        try:
            return call()
        except Transient:
            continue
    raise AssertionError("never done")
