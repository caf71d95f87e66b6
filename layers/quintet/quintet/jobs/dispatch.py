"""Announcing: a event goes to its queue, then out of the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from quintet.errors import Transient
from quintet.jobs.store import JobEvent, Outbox

__all__ = ["EventQueue", "MemoryEventQueue", "OutboxPublisher"]


class EventQueue(Protocol):
    """A queue of events."""

    def send(self, event: JobEvent, delay: int = 0) -> None:
        """Send a event's message, to be seen after `delay` seconds. Raises Transient."""
        ...

    def send_many(self, events: Sequence[JobEvent]) -> list[JobEvent]:
        """Send the messages of events in few calls; those that were sent.

        Raises:
            Transient: it is not known of any.
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
    """Sends events to the queue of their event."""

    def __init__(self, outbox: Outbox, *, work: EventQueue, notify: EventQueue) -> None:
        self._outbox = outbox
        self._work = work
        self._notify = notify

    def publish(self, event: JobEvent) -> None:
        """Send a event and forget it.

        Raises:
            Transient: it was not sent, or not forgotten; it stays for the next sweep.
        """
        (self._work if event.kind == "accepted" else self._notify).send(event)
        self._outbox.sent(event)

    def publish_many(self, events: Sequence[JobEvent]) -> int:
        """Send events to their queues and forget them, in few calls; how many were.

        The others stay for the next sweep, and so may some that were sent.
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
