"""Announcing: a notice goes to its queue, then out of the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from quintet.errors import Transient
from quintet.jobs.store import Notice, Outbox

__all__ = ["Dispatch", "MemoryQueue", "Queue"]


class Queue(Protocol):
    """A queue of notices."""

    def send(self, notice: Notice, delay: int = 0) -> None:
        """Send a notice's message, to be seen after `delay` seconds. Raises Transient."""
        ...

    def send_many(self, notices: Sequence[Notice]) -> list[Notice]:
        """Send the messages of notices in few calls; those that were sent.

        Raises:
            Transient: it is not known of any.
        """
        ...


class MemoryQueue:
    """A queue in memory."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, notice: Notice, delay: int = 0) -> None:
        """See `Queue.send`."""
        self.messages.append(notice.message())

    def send_many(self, notices: Sequence[Notice]) -> list[Notice]:
        """See `Queue.send_many`."""
        sent = []
        for notice in notices:
            with suppress(Transient):
                self.send(notice)
                sent.append(notice)
        return sent


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

    def announce_many(self, notices: Sequence[Notice]) -> int:
        """Send notices to their queues and forget them, in few calls; how many were.

        The others stay for the next sweep, and so may some that were sent.
        """
        accepted = [notice for notice in notices if notice.event == "accepted"]
        ends = [notice for notice in notices if notice.event != "accepted"]
        sent: list[Notice] = []
        for queue, some in ((self._work, accepted), (self._notify, ends)):
            with suppress(Transient):
                sent += queue.send_many(some)
        try:
            self._outbox.sent_many(sent)
        except Transient:
            return 0
        return len(sent)
