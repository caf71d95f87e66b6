"""Messages of jobs: publish events from the outbox, receive deliveries, delay retries."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.errors import BadInput, Transient, check_event
from quintet.jobs.store import JobEvent, Outbox

__all__ = [
    "LEASED_ELSEWHERE",
    "NOT_OURS",
    "TRY_AGAIN",
    "DeadLetterBox",
    "Delivery",
    "EventQueue",
    "MemoryEventQueue",
    "MemoryVisibility",
    "MessageResult",
    "OutboxPublisher",
    "Visibility",
    "backoff",
    "deliveries",
    "retry_delays",
]

BACKOFF_SECONDS = 2.0  # the longest first wait; it doubles with each attempt
MAX_BACKOFF_SECONDS = 300.0

#: log events: the message names no job, another worker holds the job, or the message is retried
NOT_OURS = "not ours"
LEASED_ELSEWHERE = "held by another"
TRY_AGAIN = "to be tried again"


# ---- events out ----------------------------------------------------------------------------


class EventQueue(Protocol):
    """A queue of events."""

    def send(self, event: JobEvent, delay: int = 0) -> None:
        """Send an event's message, visible after `delay` seconds. Raises Transient."""
        ...

    def send_many(self, events: Sequence[JobEvent]) -> list[JobEvent]:
        """Send the messages of events in few calls; return the events that were sent.

        Raises:
            Transient: it is unknown which events were sent.
        """
        ...


class MemoryEventQueue:
    """A queue in memory."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, event: JobEvent, delay: int = 0) -> None:
        """See `EventQueue.send`."""
        self.messages.append(event.message())

    def send_many(self, events: Sequence[JobEvent]) -> list[JobEvent]:
        """See `EventQueue.send_many`."""
        sent = []
        for event in events:
            with suppress(Transient):
                self.send(event)
                sent.append(event)
        return sent


class OutboxPublisher:
    """Sends events to their queue (`accepted` to the workers) and removes them from the outbox."""

    def __init__(self, outbox: Outbox, *, work: EventQueue, notify: EventQueue) -> None:
        self._outbox = outbox
        self._work = work
        self._notify = notify

    def publish(self, event: JobEvent) -> None:
        """Publish an event.

        Raises:
            Transient: the event was not sent, or not removed; the next sweep retries it.
        """
        (self._work if event.kind == "accepted" else self._notify).send(event)
        self._outbox.sent(event)

    def publish_many(self, events: Sequence[JobEvent]) -> int:
        """Publish events in few calls; return how many were published.

        The others stay in the outbox for the next sweep; so may some that were already sent.
        """
        accepted = [event for event in events if event.kind == "accepted"]
        ends = [event for event in events if event.kind != "accepted"]
        sent: list[JobEvent] = []
        for queue, some in ((self._work, accepted), (self._notify, ends)):
            with suppress(Transient):
                sent += queue.send_many(some)
        try:
            self._outbox.sent_many(sent)
        except Transient:
            return 0
        return len(sent)

    def publish_pending(self, before: float) -> tuple[int, int]:
        """Publish events written before a time; return how many were published and how many not.

        Raises:
            Transient: the outbox could not be read.
        """
        events = self._outbox.outbox(before)
        published = self.publish_many(events)
        return published, len(events) - published


# ---- deliveries in -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and how often it has been received."""

    message: str
    receipt: str
    body: str
    receives: int = 1

    def job(self) -> str:
        """The id of the accepted job in the message. Raises BadInput: it names none."""
        event = JobEvent.read(self.body)
        if event.kind != "accepted":
            raise BadInput.of("message", "an accepted job", f"event {event.kind}")
        return event.job

    def again(self, job: str, reason: str) -> MessageResult:
        """The result of a message whose job was not started."""
        return MessageResult(self, TRY_AGAIN, False, job, reason=reason)


def deliveries(event: Mapping[str, Any]) -> list[Delivery]:
    """The messages in a Lambda event from SQS. Raises BadInput: it is another event."""
    check_event(event, "SQS messages", "Records")
    return [
        Delivery(
            record["messageId"],
            record["receiptHandle"],
            record["body"],
            int(record["attributes"]["ApproximateReceiveCount"]),
        )
        for record in event["Records"]
    ]


@dataclass(frozen=True, slots=True)
class MessageResult:
    """The result of a message: acknowledged, or failed and redelivered.

    `event` is the name of its log line, `traceparent` the job's W3C context, if it is known.
    """

    delivery: Delivery
    event: str
    acknowledged: bool
    job: str = ""
    model: str = ""
    version: int = 0
    rows: int = 0
    reason: str = ""
    traceparent: str = ""


class DeadLetterBox(Protocol):
    """The dead-letter queue of the work queue, for workers."""

    def put(self, body: str) -> None:
        """Send a message to the dead-letter queue; duplicates are harmless. Raises Transient."""
        ...


# ---- retries of failed messages --------------------------------------------------------------


class Visibility(Protocol):
    """Sets when messages become visible again."""

    def delay(self, seconds: Mapping[str, int]) -> None:
        """Set the seconds until messages become visible again, by receipt.

        Best effort: a message not delayed returns after the queue's own visibility timeout.
        """
        ...


class MemoryVisibility:
    """Delays in memory."""

    def __init__(self) -> None:
        self.delays: dict[str, int] = {}

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `Visibility.delay`."""
        self.delays |= seconds


def backoff(
    failed: Sequence[Delivery], uniform: Callable[[float, float], float] = random.uniform
) -> dict[str, int]:
    """Seconds until each message is retried, by receipt: exponential backoff with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    waits = {}
    for delivery in failed:
        ceiling = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** (delivery.receives - 1))
        waits[delivery.receipt] = round(uniform(0, ceiling))
    return waits


def retry_delays(results: Sequence[MessageResult], lease_seconds: float) -> dict[str, int]:
    """Seconds until each failed message is retried, by receipt."""
    failed = [result for result in results if not result.acknowledged]
    waits = backoff([result.delivery for result in failed])
    for result in failed:
        if result.event == LEASED_ELSEWHERE:  # a crashed worker's lease must expire
            seconds = random.uniform(lease_seconds / 2, lease_seconds)
            waits[result.delivery.receipt] = round(seconds)
    return waits
