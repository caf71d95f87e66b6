"""What a subscription filter of CloudWatch Logs delivers, written to the captures' bucket.

CloudWatch Logs calls the function asynchronously, may deliver the same lines in other batches, and
drops what is throttled or refused for long. So keys are made of what is written (`raw_key`), and
`compact` takes each row once.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from arro3 import core

from quintet.captures.places import raw_key
from quintet.captures.reading import Hour, read_lines
from quintet.captures.store import CaptureSink
from quintet.captures.tables import write_parquet

__all__ = ["Delivered", "deliver", "put_rows"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery: its log group, rows and objects written, and lines that are no captures."""

    group: str
    rows: int = 0
    objects: int = 0
    unreadable: int = 0


def deliver(event: Mapping[str, Any], sink: CaptureSink) -> Delivered:
    """Write the captures of one delivery. Idempotent: a repeat writes the same objects.

    Raises:
        Transient: not all could be written.
    """
    data = orjson.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    if data["messageType"] != "DATA_MESSAGE":  # CloudWatch Logs checks that the function is there
        return Delivered(data["logGroup"])
    found, unreadable = read_lines(entry["message"] for entry in data["logEvents"])
    for hour, read in found.items():
        put_rows(sink, hour, read.rows, read.first, read.last)
    rows = sum(read.rows.num_rows for read in found.values())
    return Delivered(data["logGroup"], rows, len(found), unreadable)


def put_rows(sink: CaptureSink, hour: Hour, rows: core.Table, first: str, last: str) -> str:
    """Put new rows of one hour, from their first to their last event; the key. Raises Transient."""
    body = write_parquet(rows)
    key = raw_key(hour, first, last, body)
    sink.put(key, body)
    return key
