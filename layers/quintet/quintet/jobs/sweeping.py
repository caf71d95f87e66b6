"""What was not announced is announced; jobs that no one will work on any more come to an end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from quintet.errors import QuintetError, Transient
from quintet.jobs.dispatch import OutboxPublisher
from quintet.jobs.store import JobEvent, Outbox

__all__ = ["GRACE_SECONDS", "Swept", "sweep"]

#: younger events are on their way: whoever wrote them sends them
GRACE_SECONDS = 60.0


@dataclass(slots=True)
class Swept:
    """What a sweep did.

    `buried` are the jobs that failed as their messages are dead letters, `failed` the events that
    the next sweep meets again.
    """

    expired: int = 0
    buried: int = 0
    announced: int = 0
    failed: int = 0


def sweep(
    outbox: Outbox,
    publisher: OutboxPublisher,
    fail_dead_jobs: Callable[[Callable[[], bool]], int],
    now: float,
    has_time: Callable[[], bool] = lambda: True,
) -> Swept:
    """Expire what is overdue, announce what has waited for longer than the grace, and fail the
    jobs of dead letters for as long as there is time.

    Raises:
        Transient: the store could not be read.
    """
    swept = Swept()
    while has_time():
        before = swept.expired
        jobs = outbox.overdue(now)
        for job in jobs:
            try:
                event = outbox.expire(job, now)
                swept.expired += 1
            except QuintetError:  # it was settled meanwhile, or is worked on
                continue
            if event is not None:
                _publish(publisher, event, swept)
        if not jobs or swept.expired == before:
            break
    while has_time():
        before = swept.announced
        events = outbox.outbox(now - GRACE_SECONDS)
        sent = publisher.publish_many(events)
        swept.announced += sent
        swept.failed += len(events) - sent
        if not events or swept.announced == before:
            break
    with suppress(Transient):  # the letters are there the next time, too
        swept.buried = fail_dead_jobs(has_time)
    return swept


def _publish(publisher: OutboxPublisher, event: JobEvent, swept: Swept) -> None:
    try:
        publisher.publish(event)
        swept.announced += 1
    except QuintetError:
        swept.failed += 1
