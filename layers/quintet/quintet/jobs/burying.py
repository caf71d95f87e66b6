"""Jobs whose message is a dead letter: no one will work on them, so they fail. The letter stays.

Mostly the worker failed them itself, on the message's last receive; these are those whose worker
died on it, or could not write.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from quintet.errors import QuintetError, Transient
from quintet.jobs.blobs import Blobs
from quintet.jobs.deliveries import Delivery
from quintet.jobs.dispatch import OutboxPublisher
from quintet.jobs.grouping import failed, keep_failure
from quintet.jobs.job import Job
from quintet.jobs.store import JobEvent, JobLeases

__all__ = ["MAX_DEAD_LETTERS", "DeadLetterReconciler", "DeadLetters", "MemoryDeadLetters"]

#: letters that are looked at in one go
MAX_DEAD_LETTERS = 1_000
LEASE_SECONDS = 60.0
# 503: what a replay takes back to ACCEPTED is what failed on our side
REASON = Transient("every attempt to work on the job broke off")


class DeadLetters(Protocol):
    """The dead letters of the work queue."""

    def look(self, most: int) -> list[str]:
        """The bodies of some letters; they stay where they are.

        Raises:
            Transient: the queue could not be read.
        """
        ...


class MemoryDeadLetters:
    """Dead letters in memory."""

    def __init__(self, bodies: Sequence[str] = ()) -> None:
        self.bodies = list(bodies)

    def look(self, most: int) -> list[str]:
        """See `DeadLetters.look`."""
        return self.bodies[:most]


@dataclass(frozen=True)
class DeadLetterReconciler:
    """Fails the jobs of dead letters. It leases them first, as a worker does, and so can change
    nothing that a worker holds.

    `get` reads a job. Another message of the same job may still be on its way: a job is let be
    until nobody has touched it for `quiet_seconds`, in which any message would have come back.
    """

    letters: DeadLetters
    get: Callable[[str], Job]
    leases: JobLeases
    blobs: Blobs
    publisher: OutboxPublisher
    clock: Callable[[], float]
    quiet_seconds: float

    def fail_dead_jobs(self, has_time: Callable[[], bool] = lambda: True) -> int:
        """Look at the letters; how many jobs were failed.

        Raises:
            Transient: the queue could not be read.
        """
        count = 0
        for body in self.letters.look(MAX_DEAD_LETTERS):
            if not has_time():
                break
            with suppress(QuintetError):  # not ours, unknown, or a store fails: the next time
                count += self._fail(Delivery("", "", body).job())
        return count

    def _fail(self, name: str) -> bool:
        job = self.get(name)
        if job.settled or job.updated > self.clock() - self.quiet_seconds:
            return False
        job = self.leases.lease(name, uuid.uuid4().hex, self.clock(), LEASE_SECONDS)
        assert job.lease is not None
        outcome = failed(REASON)
        keep_failure(self.blobs, job, outcome)
        event = self.leases.settle(name, job.lease, outcome, self.clock(), notify=job.notify)
        if job.notify:
            self._publish(event)
        return True

    def _publish(self, event: JobEvent) -> None:
        with suppress(Transient):  # it waits for the sweep
            self.publisher.publish(event)
