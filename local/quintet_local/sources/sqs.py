"""What Lambda does between a queue and a function, pure: batches in, decisions out.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from quintet_local.names import REGION

__all__ = [
    "Config",
    "Gathering",
    "Invoke",
    "Receive",
    "Wait",
    "decide",
    "event",
    "gathered",
    "handled",
    "settled",
]

#: an event may have 6 MB; Lambda reserves room for the metadata of each message
EVENT_BYTES = 6 * 1024 * 1024
RECEIVE_COUNT = 10
LONG_POLL = 20
#: concurrent batches if the mapping sets no maximum; Lambda starts with this for a standard queue
CONCURRENCY = 5

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """An event source mapping of a queue."""

    batch_size: int = 10
    window: float = 0.0
    partial: bool = False
    concurrency: int = CONCURRENCY

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Config:
        """Read the mapping from its CloudFormation properties."""
        scaling = properties.get("ScalingConfig") or {}
        return cls(
            batch_size=int(properties.get("BatchSize", 10)),
            window=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
            partial="ReportBatchItemFailures" in (properties.get("FunctionResponseTypes") or ()),
            concurrency=int(scaling.get("MaximumConcurrency", CONCURRENCY)),
        )


@dataclass(frozen=True)
class Gathering:
    """The batch being collected, its start, and the number of batches in progress."""

    messages: tuple[Message, ...] = ()
    since: float = 0.0
    in_flight: int = 0


@dataclass(frozen=True)
class Receive:
    """Receive up to this many messages, waiting this long for the first."""

    count: int
    wait: float


@dataclass(frozen=True)
class Invoke:
    """Call the function with this batch."""

    batch: tuple[Message, ...]


@dataclass(frozen=True)
class Wait:
    """Every slot is in use: wait until a batch is handled."""


def decide(
    config: Config, state: Gathering, now: float
) -> tuple[Gathering, Receive | Invoke | Wait]:
    """Return the next action, and the state while it runs."""
    if state.in_flight >= config.concurrency:
        return state, Wait()
    ready, rest = _cut(config, state.messages)
    room = config.batch_size - len(state.messages)
    remaining = state.since + config.window - now
    if ready and (rest or room <= 0 or remaining <= 0):
        after = Gathering(rest, now, state.in_flight + 1)
        return after, Invoke(ready)
    wait = min(LONG_POLL, remaining) if state.messages else LONG_POLL
    return state, Receive(min(RECEIVE_COUNT, room), wait)


def gathered(state: Gathering, messages: Iterable[Message], now: float) -> Gathering:
    """Return the state after a receive; the batching window starts with the first message."""
    more = tuple(messages)
    since = state.since if state.messages else now
    return replace(state, messages=state.messages + more, since=since)


def handled(state: Gathering) -> Gathering:
    """Return the state after a batch was handled."""
    return replace(state, in_flight=state.in_flight - 1)


def _cut(
    config: Config, messages: tuple[Message, ...]
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Return the next batch, bounded by count and bytes, and the remaining messages."""
    size = 0
    for index, message in enumerate(messages):
        size += len(message["Body"].encode()) + 1024
        if index >= config.batch_size or (index and size > EVENT_BYTES):
            return messages[:index], messages[index:]
    return messages, ()


def event(batch: Iterable[Message], queue_arn: str) -> dict[str, Any]:
    """Build the function's event."""
    return {"Records": [_record(message, queue_arn) for message in batch]}


def _record(message: Message, queue_arn: str) -> dict[str, Any]:
    attributes = {
        name: {
            "stringValue": value.get("StringValue"),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": value["DataType"],
        }
        for name, value in (message.get("MessageAttributes") or {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes") or {}),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }


def settled(
    config: Config, batch: Iterable[Message], payload: bytes, failed: bool
) -> tuple[Message, ...]:
    """Return the messages to delete; the others return after their visibility timeout.

    A message that is twice in the batch is deleted once: a call accepts each receipt handle once.
    `failed` is a function error. With ReportBatchItemFailures the response lists the failed
    messages; an invalid response fails the whole batch.
    """
    messages = tuple({message["ReceiptHandle"]: message for message in batch}.values())
    if failed:
        return ()
    if not config.partial:
        return messages
    failures = _failures(payload, {message["MessageId"] for message in messages})
    if failures is None:
        return ()
    return tuple(message for message in messages if message["MessageId"] not in failures)


def _failures(payload: bytes, known: set[str]) -> set[str] | None:
    """Return the ids that the response reports, None if it fails the whole batch."""
    try:
        answer = json.loads(payload or b"null")
    except ValueError:
        return None
    if answer and not isinstance(answer, dict):
        return None
    items = (answer or {}).get("batchItemFailures") or []
    if not isinstance(items, list):
        return None
    failures = set()
    for item in items:
        failure = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not isinstance(failure, str) or failure not in known:
            return None
        failures.add(failure)
    return failures
