"""Lambda's events from a Kinesis stream, and the responses that its event source reads.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pybase64

from quintet.streaming.model_rows import ShardBatch, TumblingWindow

__all__ = ["answer", "shard_batch", "tumbling"]

# validation makes it quicker: otherwise it searches for characters to discard
_bytes_of = pybase64.b64decode


def shard_batch(event: Mapping[str, Any]) -> ShardBatch:
    """The records of an event, all from one shard, in the shard's order.

    The call that ends a window has no records, and may omit the field.
    """
    records = event.get("Records") or []
    kinesis = [record["kinesis"] for record in records]
    first = records[0] if records else event
    stream = first["eventSourceARN"].rpartition("/")[2]
    shard = event.get("shardId") or first["eventID"].partition(":")[0]
    return ShardBatch(
        f"{stream}/{shard}",
        [record["sequenceNumber"] for record in kinesis],
        [record["partitionKey"] for record in kinesis],
        [_bytes_of(record["data"], None, True) for record in kinesis],
        np.array([record["approximateArrivalTimestamp"] for record in kinesis], dtype=np.float64),
    )


def tumbling(event: Mapping[str, Any]) -> TumblingWindow | None:
    """The window of an event; None if its source has no windows."""
    window = event.get("window")
    if not window:
        return None
    return TumblingWindow(
        start=_moment(window["start"]),
        end=_moment(window["end"]),
        state=event.get("state"),
        final=bool(event.get("isFinalInvokeForWindow")),
        early=bool(event.get("isWindowTerminatedEarly")),
    )


@lru_cache(maxsize=64)
def _moment(text: str) -> float:
    """Epoch seconds of a time in ISO 8601: all invocations of a window have the same two."""
    return datetime.fromisoformat(text).timestamp()


def answer(state: Any, failed: str | None) -> dict[str, Any]:
    """The function's response: the window's state, and the first record to retry."""
    failures = [] if failed is None else [{"itemIdentifier": failed}]
    found: dict[str, Any] = {"batchItemFailures": failures}
    if state is not None:
        found["state"] = state
    return found
