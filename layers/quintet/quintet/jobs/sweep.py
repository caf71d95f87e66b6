"""The sweep: expire overdue jobs, publish events that were left, fail jobs of dead letters.

A worker fails a job before it acknowledges its message, whose copy is then a dead letter. The jobs
of dead letters that are left are those whose messages SQS moved there, having delivered them too
often. The dead letters stay, for a replay.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from quintet.errors import QuintetError, Transient
from quintet.jobs.job import Job
from quintet.jobs.messages import Delivery, OutboxPublisher
from quintet.jobs.store import Blobs, JobExpiry, JobLeases
from quintet.jobs.transitions import BROKE_OFF, failed, keep_failure

__all__ = [
    "GRACE_SECONDS",
    "MAX_DEAD_LETTERS",
    "DeadLetterReconciler",
    "DeadLetters",
    "MemoryDeadLetters",
    "Swept",
    "sweep",
]

#: whoever wrote a younger event is about to publish it
GRACE_SECONDS = 60.0
#: dead letters that one sweep reads
MAX_DEAD_LETTERS = 1_000
LEASE_SECONDS = 60.0


@dataclass(slots=True)
class Swept:
    """The counts of a sweep, as they are logged.

    `buried` jobs failed as their messages are dead letters; `failed` events could not be published
    and wait for the next sweep.
    """

    expired: int = 0
    buried: int = 0
    announced: int = 0
    failed: int = 0


def sweep(
    jobs: JobExpiry,
    publisher: OutboxPublisher,
    fail_dead_jobs: Callable[[Callable[[], bool]], int],
    now: float,
    has_time: Callable[[], bool] = lambda: True,
) -> Swept:
    """Sweep for as long as there is time.

    Raises:
        Transient: the store could not be read.
    """
    swept = Swept()
    _expire(jobs, publisher, now, has_time, swept)
    while has_time():
        published, unpublished = publisher.publish_pending(now - GRACE_SECONDS)
        swept.announced += published
        swept.failed += unpublished
        if not published:
            break
    with suppress(Transient):  # the next sweep reads the dead letters
        swept.buried = fail_dead_jobs(has_time)
    return swept


def _expire(
    jobs: JobExpiry,
    publisher: OutboxPublisher,
    now: float,
    has_time: Callable[[], bool],
    swept: Swept,
) -> None:
    """Expire overdue jobs, and publish their ends."""
    while has_time():
        before = swept.expired
        for job in jobs.overdue(now):
            try:
                event = jobs.expire(job, now)
            except QuintetError:  # it was settled meanwhile, or a worker has it
                continue
            swept.expired += 1
            if event is None:
                continue
            try:
                publisher.publish(event)
                swept.announced += 1
            except QuintetError:
                swept.failed += 1
        if swept.expired == before:
            break


class DeadLetters(Protocol):
    """The dead-letter queue of the work queue."""

    def look(self, most: int) -> list[str]:
        """The bodies of some messages; they stay in the queue.

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

    def put(self, body: str) -> None:
        """See `quintet.jobs.messages.DeadLetterBox.put`."""
        self.bodies.append(body)


@dataclass(frozen=True)
class DeadLetterReconciler:
    """Fails the jobs of dead letters. It leases them first, as a worker does, and so can change
    nothing that a worker holds.

    `get` reads a job. Another message of the same job may be in flight: a job that changed within
    `quiet_seconds`, in which any message would have come back, is left alone.
    """

    letters: DeadLetters
    get: Callable[[str], Job]
    leases: JobLeases
    blobs: Blobs
    publisher: OutboxPublisher
    clock: Callable[[], float]
    quiet_seconds: float

    def fail_dead_jobs(self, has_time: Callable[[], bool] = lambda: True) -> int:
        """Fail the jobs of some dead letters; how many.

        Raises:
            Transient: the queue could not be read.
        """
        count = 0
        for body in self.letters.look(MAX_DEAD_LETTERS):
            if not has_time():
                break
            with suppress(QuintetError):  # not ours, unknown, or a store fails: the next sweep
                count += self._fail(Delivery("", "", body).job())
        return count

    def _fail(self, name: str) -> bool:
        job = self.get(name)
        if job.settled or job.updated > self.clock() - self.quiet_seconds:
            return False
        job = self.leases.lease(name, uuid.uuid4().hex, self.clock(), LEASE_SECONDS)
        assert job.lease is not None
        outcome = failed(BROKE_OFF)
        keep_failure(self.blobs, job, outcome)
        event = self.leases.settle(name, job.lease, outcome, self.clock(), notify=job.notify)
        if job.notify:
            with suppress(Transient):  # it stays in the outbox for the next sweep
                self.publisher.publish(event)
        return True
