"""Where jobs are kept: one port for each need, and all of them in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.errors import BadInput, Unprocessable
from quintet.jobs.job import (
    EVENTS,
    Job,
    Lease,
    Outcome,
    Settled,
    State,
    cancelled,
    expired,
    leased,
    released,
    renewed,
    settled,
    unknown,
)

__all__ = [
    "Acceptance",
    "Desk",
    "JobStore",
    "Key",
    "KeyReused",
    "Leases",
    "MemoryJobs",
    "Notice",
    "Outbox",
    "Page",
    "Summary",
]


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: the SHA-256 of what the caller sent, and that of the payload."""

    digest: str
    payload: str


class KeyReused(Unprocessable):
    """The idempotency key came before, with another payload (422)."""

    def __init__(self) -> None:
        refused = BadInput.of("Idempotency-Key", "a new key, or the payload it came with", "other")
        super().__init__(refused.refusals)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be announced of a job: `accepted` to the workers, any other event to its owner.

    The message on either queue is its JSON; it refers to the job and holds nothing of it.
    """

    job: str
    event: str
    at: float = 0.0

    def message(self) -> str:
        """The message's body."""
        return json.dumps({"job": self.job, "event": self.event})

    @classmethod
    def read(cls, body: str) -> Notice:
        """The notice in a message.

        Raises:
            BadInput: the message is not ours.
        """
        try:
            found: Any = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not (
            isinstance(found, dict)
            and found.keys() == {"job", "event"}
            and isinstance(found["job"], str)
            and found["event"] in EVENTS.values()
        ):
            raise BadInput.of("message", "a job and an event", "something else")
        return cls(found["job"], found["event"])


@dataclass(frozen=True, slots=True)
class Summary:
    """A job as lists show it."""

    id: str
    model: str
    version: int
    state: State
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first; `next` asks for those after them, None where there are none."""

    jobs: list[Summary]
    next: str | None


class Acceptance(Protocol):
    """Where jobs come in."""

    def accept(self, job: Job, key: Key | None = None) -> tuple[Job, Notice | None]:
        """Store a job with its key and its notice, all or none; what is stored, and the notice.

        Where the key came before with the same payload, that earlier job comes back, and no
        notice.

        Raises:
            KeyReused: the key came before with another payload.
            Transient: the store does not answer.
        """
        ...


class Leases(Protocol):
    """What workers need. `seconds` is how long a lease holds; `now` is the worker's clock.

    Every write is conditional on owner and fence, and the lease's end is in the condition.
    """

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """Take a job; its `lease` is the right to settle it. One past its deadline expires.

        The same worker, asking again, gets the lease that it has.

        Raises:
            NotFound: there is no such job.
            Settled: it has come to its end.
            Busy: another worker has it; this is Transient.
        """
        ...

    def renew(self, job: str, lease: Lease, now: float, seconds: float) -> Job:
        """More time. Raises LostLease, which is Transient."""
        ...

    def release(self, job: str, lease: Lease, now: float) -> None:
        """Give a job back so that the next attempt need not wait. Raises LostLease."""
        ...

    def settle(self, job: str, lease: Lease, outcome: Outcome, now: float) -> Notice:
        """End a job and note what is to be announced, both or none; again does no harm.

        Raises:
            LostLease: the lease does not hold (also: the job was cancelled). Transient.
        """
        ...


class Desk(Protocol):
    """What callers may do with their jobs. With an `owner`, others' jobs are unknown."""

    def get(self, job: str, owner: str | None = None) -> Job:
        """A job. Raises NotFound."""
        ...

    def page(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> Page:
        """A caller's jobs, newest first. Raises BadInput: `after` is not a page's `next`."""
        ...

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, Notice | None]:
        """Cancel a job; no notice if it was cancelled before. Raises NotFound, Settled."""
        ...


class Outbox(Protocol):
    """What is to be announced, or to be expired, and was not yet."""

    def outbox(self, before: float, most: int = 100) -> list[Notice]:
        """Notices written before a moment, some of the oldest."""
        ...

    def sent(self, notice: Notice) -> None:
        """A notice was sent: forget it."""
        ...

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """Ids of jobs past their deadline that are not settled, some of them."""
        ...

    def expire(self, job: str, now: float) -> Notice | None:
        """Expire a job; no notice if it was before. Raises NotFound, Settled, Busy."""
        ...


class JobStore(Acceptance, Leases, Desk, Outbox, Protocol):
    """All of them."""


class MemoryJobs:
    """Jobs in memory."""

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}
        self.notices: dict[tuple[str, str], Notice] = {}
        self._lock = threading.Lock()

    def accept(self, job: Job, key: Key | None = None) -> tuple[Job, Notice | None]:
        """See `Acceptance.accept`."""
        with self._lock:
            if key is not None:
                earlier = self.keys.setdefault((job.owner, key.digest), (job.id, key.payload))
                if earlier[1] != key.payload:
                    raise KeyReused
                if earlier[0] != job.id:
                    return self.jobs[earlier[0]], None
            return self._write(job)

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """See `Leases.lease`."""
        with self._lock:
            try:
                return self._keep(leased(self._get(job), worker, now, seconds))
            except Settled as end:
                if self.jobs[job].state != end.job.state:
                    self._write(end.job)
                raise

    def renew(self, job: str, lease: Lease, now: float, seconds: float) -> Job:
        """See `Leases.renew`."""
        with self._lock:
            return self._keep(renewed(self._get(job), lease, now, seconds))

    def release(self, job: str, lease: Lease, now: float) -> None:
        """See `Leases.release`."""
        with self._lock:
            self._keep(released(self._get(job), lease, now))

    def settle(self, job: str, lease: Lease, outcome: Outcome, now: float) -> Notice:
        """See `Leases.settle`."""
        with self._lock:
            found = self._get(job)
            end = settled(found, lease, outcome, now)
            if end is found:
                return Notice(end.id, EVENTS[end.state], end.updated)
            return self._write(end)[1]

    def get(self, job: str, owner: str | None = None) -> Job:
        """See `Desk.get`."""
        with self._lock:
            return self._get(job, owner)

    def page(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> Page:
        """See `Desk.page`."""
        with self._lock:
            found = sorted(
                (
                    job
                    for job in self.jobs.values()
                    if job.owner == owner
                    and model in (None, job.model)
                    and state in (None, job.state)
                ),
                key=lambda job: (job.created, job.id),
                reverse=True,
            )
        if after is not None:
            ids = [job.id for job in found]
            if after not in ids:
                raise BadInput.of("next", "what a page gave as next", repr(after[:60]))
            found = found[ids.index(after) + 1 :]
        page = [
            Summary(job.id, job.model, job.version, job.state, job.created, job.updated)
            for job in found[:most]
        ]
        return Page(page, page[-1].id if len(found) > most else None)

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, Notice | None]:
        """See `Desk.cancel`."""
        with self._lock:
            found = self._get(job, owner)
            end = cancelled(found, now)
            return (end, None) if end is found else self._write(end)

    def outbox(self, before: float, most: int = 100) -> list[Notice]:
        """See `Outbox.outbox`."""
        with self._lock:
            due = [notice for notice in self.notices.values() if notice.at < before]
        return sorted(due, key=lambda notice: notice.at)[:most]

    def sent(self, notice: Notice) -> None:
        """See `Outbox.sent`."""
        with self._lock:
            self.notices.pop((notice.job, notice.event), None)

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """See `Outbox.overdue`."""
        with self._lock:
            late = [job for job in self.jobs.values() if not job.settled and job.deadline <= now]
        return [job.id for job in sorted(late, key=lambda job: job.deadline)[:most]]

    def expire(self, job: str, now: float) -> Notice | None:
        """See `Outbox.expire`."""
        with self._lock:
            found = self._get(job)
            end = expired(found, now)
            return None if end is found else self._write(end)[1]

    def _get(self, job: str, owner: str | None = None) -> Job:
        found = self.jobs.get(job)
        if found is None or owner not in (None, found.owner):
            raise unknown(job)
        return found

    def _keep(self, job: Job) -> Job:
        self.jobs[job.id] = job
        return job

    def _write(self, job: Job) -> tuple[Job, Notice]:
        """Keep a job in a state that is announced."""
        notice = Notice(job.id, EVENTS[job.state], job.updated)
        self.notices[notice.job, notice.event] = notice
        return self._keep(job), notice
