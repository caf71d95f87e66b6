"""What the work queue delivers, and when it may deliver it again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.errors import BadInput
from quintet.jobs.store import JobEvent

__all__ = ["MAX_RECEIVES", "Delivery", "MemoryVisibility", "Visibility", "backoff", "deliveries"]

#: the queue's maxReceiveCount: after so many receives a message goes to the dead letters
MAX_RECEIVES = 5

BACKOFF_SECONDS = 2.0  # the ceiling of the first wait; it doubles
MAX_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and how often it has been received by now."""

    message: str
    receipt: str
    body: str
    receives: int = 1

    @property
    def last(self) -> bool:
        """Whether it goes to the dead letters if it fails once more."""
        return self.receives >= MAX_RECEIVES

    def job(self) -> str:
        """The id of the job that it is about.

        Raises:
            BadInput: the message is not ours.
        """
        event = JobEvent.read(self.body)
        if event.kind != "accepted":
            raise BadInput.of("message", "an accepted job", f"event {event.kind}")
        return event.job


class Visibility(Protocol):
    """When messages come back."""

    def delay(self, seconds: Mapping[str, int]) -> None:
        """Let messages, by their receipts, come back after so many seconds.

        It is a wish: those for which it does not come true come back when the queue's own
        time is over.
        """
        ...


class MemoryVisibility:
    """Delays in memory."""

    def __init__(self) -> None:
        self.delays: dict[str, int] = {}

    def delay(self, seconds: Mapping[str, int]) -> None:
        """See `Visibility.delay`."""
        self.delays |= seconds


def deliveries(event: Mapping[str, Any]) -> list[Delivery]:
    """The messages in Lambda's event of a queue."""
    return [
        Delivery(
            record["messageId"],
            record["receiptHandle"],
            record["body"],
            int(record["attributes"]["ApproximateReceiveCount"]),
        )
        for record in event["Records"]
    ]


def backoff(
    failed: Sequence[Delivery], uniform: Callable[[float, float], float] = random.uniform
) -> dict[str, int]:
    """Seconds until each comes back, by receipt: exponential, with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    waits = {}
    for delivery in failed:
        ceiling = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** (delivery.receives - 1))
        waits[delivery.receipt] = round(uniform(0, ceiling))
    return waits
