"""The sweep: expire overdue jobs, publish pending events, fail the jobs of dead letters.

A worker that gives up a job sends a copy of its message to the dead-letter queue and fails the job
itself. The sweep fails the jobs whose messages SQS moved to the dead-letter queue after too many
receives. The dead letters stay in the queue for a replay.
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

#: the writer of a newer event is about to publish it
GRACE_SECONDS = 60.0
#: dead letters that one sweep reads
MAX_DEAD_LETTERS = 1_000
LEASE_SECONDS = 60.0


@dataclass(slots=True)
class Swept:
    """The counts of a sweep, as logged.

    `buried` counts jobs failed because their messages are dead letters; `failed` counts events that
    could not be published and wait for the next sweep.
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
    """Sweep while `has_time` returns True.

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
    """Expire overdue jobs and publish their events."""
    while has_time():
        before = swept.expired
        for job in jobs.overdue(now):
            try:
                event = jobs.expire(job, now)
            except QuintetError:  # settled meanwhile, or a worker holds it
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
        """Read the bodies of some messages; they stay in the queue.

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
    """Fails the jobs of dead letters. It leases each job first, as a worker does, so it never
    changes a job that a worker holds.

    `get` reads a job. Another message of the same job may be in flight and would be redelivered
    within `quiet_seconds`; a job that changed more recently than that is skipped.
    """

    letters: DeadLetters
    get: Callable[[str], Job]
    leases: JobLeases
    blobs: Blobs
    publisher: OutboxPublisher
    clock: Callable[[], float]
    quiet_seconds: float

    def fail_dead_jobs(self, has_time: Callable[[], bool] = lambda: True) -> int:
        """Fail the jobs of some dead letters; return how many.

        Raises:
            Transient: the queue could not be read.
        """
        count = 0
        for body in self.letters.look(MAX_DEAD_LETTERS):
            if not has_time():
                break
            with suppress(QuintetError):  # invalid, unknown, or a store failed: the next sweep
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
            with suppress(Transient):  # the next sweep publishes it
                self.publisher.publish(event)
        return True
