"""The state of a delivery on one channel: retried for a day with increasing waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from quintet.errors import QuintetError

__all__ = [
    "Attempt",
    "Deliveries",
    "Delivery",
    "GivenUp",
    "MemoryDeliveries",
    "after",
    "return_in",
]

DAY = 86_400.0
#: seconds after the first attempt, the factor for each later attempt, and the longest wait.
#: SQS can hide a message for at most 12 hours after it was received
FIRST_WAIT, GROWTH, LONGEST_WAIT = 5.0, 6.0, 6 * 3_600.0

State = Literal["waiting", "delivered", "stopped", "given_up"]


class GivenUp(QuintetError):
    """A notification was not delivered and will not be retried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt; `last` is the HTTP status, or the reason for no answer.

    `wait` is the wait that the receiver requested, in seconds.
    """

    state: State
    last: str
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state of a notification on one channel. Times are epoch seconds.

    `stopped` is final: the endpoint is gone or disabled. After `given_up`, the message goes to the
    dead-letter queue; a replayed message starts again.
    """

    state: State = "waiting"
    attempts: int = 0
    last: str = ""
    started: float = 0.0
    next: float = 0.0
    delivered: float | None = None


class Deliveries(Protocol):
    """Stores deliveries by subject: the id of a job, an alert or a run."""

    def get(self, subject: str, channel: str) -> Delivery:
        """Return the recorded delivery, or a new one.

        Raises:
            Transient: the delivery could not be read.
        """

    def put(self, subject: str, channel: str, delivery: Delivery) -> None:
        """Record a delivery, but never overwrite a `delivered` one.

        Raises:
            Transient: the delivery could not be written.
        """


class MemoryDeliveries:
    """Deliveries in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Delivery] = {}

    def get(self, subject: str, channel: str) -> Delivery:
        """See `Deliveries.get`."""
        return self.stored.get((subject, channel), Delivery())

    def put(self, subject: str, channel: str, delivery: Delivery) -> None:
        """See `Deliveries.put`."""
        if self.get(subject, channel).state != "delivered":
            self.stored[subject, channel] = delivery


def after(delivery: Delivery, attempt: Attempt, now: float, jitter: float) -> Delivery:
    """Return the delivery after an attempt; `jitter` in [0, 1) shortens the wait by up to half.

    The wait is never shorter than the receiver requests. The last attempt is a day after the first.
    """
    tried = replace(
        delivery,
        state=attempt.state,
        attempts=delivery.attempts + 1,
        last=attempt.last,
        started=delivery.started if delivery.attempts else now,
    )
    if attempt.state == "delivered":
        return replace(tried, delivered=now, next=0.0)
    if attempt.state != "waiting":
        return replace(tried, next=0.0)
    end = tried.started + DAY
    if now >= end:
        return replace(tried, state="given_up", next=0.0)
    wait = min(FIRST_WAIT * GROWTH**delivery.attempts, LONGEST_WAIT) * (1 - jitter / 2)
    wanted = min(attempt.wait, LONGEST_WAIT)
    return replace(tried, next=min(now + max(wait, wanted), end))


def return_in(deliveries: Sequence[Delivery], now: float) -> float | None:
    """Return the seconds until the message must be retried; None if all deliveries are settled.

    Raises:
        GivenUp: a delivery was given up, and no other is waiting.
    """
    waits = [max(1.0, one.next - now) for one in deliveries if one.state == "waiting"]
    if waits:
        return min(waits)
    for one in deliveries:
        if one.state == "given_up":
            raise GivenUp(f"given up after {one.attempts} attempts, the last: {one.last}")
    return None
