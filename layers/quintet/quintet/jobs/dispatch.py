"""Announcing: a notice goes to its queue, then out of the outbox."""

from __future__ import annotations

from typing import Protocol

from quintet.jobs.store import Notice, Outbox

__all__ = ["Dispatch", "MemoryQueue", "Queue"]


class Queue(Protocol):
    """A queue of notices."""

    def send(self, notice: Notice, delay: int = 0) -> None:
        """Send a notice's message, to be seen after `delay` seconds. Raises Transient."""
        ...


class MemoryQueue:
    """A queue in memory."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, notice: Notice, delay: int = 0) -> None:
        """See `Queue.send`."""
        self.messages.append(notice.message())


class Dispatch:
    """Sends notices to the queue of their event."""

    def __init__(self, outbox: Outbox, *, work: Queue, notify: Queue) -> None:
        self._outbox = outbox
        self._work = work
        self._notify = notify

    def announce(self, notice: Notice) -> None:
        """Send a notice and forget it.

        Raises:
            Transient: it was not sent, or not forgotten; it stays for the next sweep.
        """
        (self._work if notice.event == "accepted" else self._notify).send(notice)
        self._outbox.sent(notice)
