"""What a subscription filter of CloudWatch Logs delivers, written to the captures' bucket.

CloudWatch Logs calls the function asynchronously, may deliver the same lines in other batches, and
drops what is throttled or refused for long. So keys are made of what is written (`raw_key`), and
`compact` takes each row once.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from arro3 import core

from quintet.captures.places import raw_key
from quintet.captures.reading import Hour, begun_apart, read_lines
from quintet.captures.store import CaptureSink, NoRollouts, RolloutFeed
from quintet.captures.tables import predictions, write_parquet
from quintet.errors import BadInput

__all__ = ["NO_ROLLOUTS", "Delivered", "deliver", "put_rows"]

NO_ROLLOUTS = NoRollouts()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery: its log group, rows and objects written, and lines that are no captures.

    `begun` are the requests of rollouts that began.
    """

    group: str
    rows: int = 0
    objects: int = 0
    unreadable: int = 0
    begun: int = 0


def deliver(
    event: Mapping[str, Any], sink: CaptureSink, feed: RolloutFeed = NO_ROLLOUTS
) -> Delivered:
    """Write the captures of one delivery, and tell rollouts of theirs.

    Idempotent: a repeat writes and tells the same.

    Raises:
        BadInput: it is no delivery.
        Transient: not all could be written.
    """
    group, messages = _opened(event)
    lines, begun = begun_apart(messages)
    found, unreadable = read_lines(lines)
    if begun:
        feed.begun(begun)
    for hour, read in found.items():
        put_rows(sink, hour, read.rows, read.first, read.last, feed=feed)
    rows = sum(read.rows.num_rows for read in found.values())
    return Delivered(group, rows, len(found), unreadable, len(begun))


def _opened(event: Any) -> tuple[str, list[str]]:
    """The log group of a delivery, and its lines. Raises BadInput."""
    try:
        data = orjson.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
        # CloudWatch Logs checks with other messages that the function is there
        entries = data["logEvents"] if data["messageType"] == "DATA_MESSAGE" else ()
        return data["logGroup"], [entry["message"] for entry in entries]
    except (ValueError, TypeError, KeyError, EOFError, OSError, zlib.error):
        expected = "the event of a subscription filter, whole"
        raise BadInput.of("delivery", expected, "something else") from None


def put_rows(
    sink: CaptureSink,
    hour: Hour,
    rows: core.Table,
    first: str,
    last: str,
    *,
    feed: RolloutFeed = NO_ROLLOUTS,
) -> str:
    """Put new rows of one hour, from their first to their last event; the key.

    Raises:
        Transient: they may be put and announced to `feed` or not; repeat.
    """
    body = write_parquet(rows)
    key = raw_key(hour, first, last, body)
    sink.put(key, body)
    if _routed(rows):
        feed.announce(key)
    return key


def _routed(rows: core.Table) -> bool:
    """Whether a rollout has routed some of the predictions."""
    if rows["rollout"].null_count == rows.num_rows:
        return False
    rows = predictions(rows)
    return rows["rollout"].null_count < rows.num_rows
