"""Jobs and payloads in memory: every port of `quintet.jobs.store`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from quintet.errors import BadInput, NotFound, QuintetError, Refusal, TooLarge
from quintet.jobs.job import (
    EVENTS,
    Job,
    JobOutcome,
    Lease,
    Settled,
    State,
    cancelled,
    expired,
    leased,
    released,
    settled,
    unknown,
)
from quintet.jobs.store import IdempotencyKey, JobEvent, JobPage, JobSummary, KeyReused

__all__ = ["MemoryBlobs", "MemoryJobs"]


class _KeyRecord(NamedTuple):
    """What an idempotency key was used for, and when it is forgotten (epoch seconds)."""

    job: str
    payload: str
    expires: float


class MemoryJobs:
    """Jobs in memory; keys are forgotten `retention_days` after their job was created."""

    def __init__(self, jobs: Sequence[Job] = (), *, retention_days: int = 7) -> None:
        self.jobs = {job.id: job for job in jobs}
        self._keys: dict[tuple[str, str], _KeyRecord] = {}
        self._retention = retention_days * 86_400
        self.pending: dict[tuple[str, str], JobEvent] = {}
        self._lock = threading.Lock()

    def earlier(self, owner: str, key: IdempotencyKey, now: float) -> Job | None:
        """See `JobSubmissions.earlier`."""
        with self._lock:
            found = self._first_use(owner, key, now)
            return None if found is None else self.jobs[found.job]

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[Job, JobEvent | None]:
        """See `JobSubmissions.accept`."""
        with self._lock:
            if key is not None:
                first = self._first_use(job.owner, key, job.created)
                if first is not None and first.job != job.id:
                    return self.jobs[first.job], None
                record = _KeyRecord(job.id, key.payload, job.created + self._retention)
                self._keys[job.owner, key.digest] = record
            if job.id in self.jobs:  # the reply to the first call was lost
                return self.jobs[job.id], JobEvent(job.id, EVENTS[job.state], job.updated)
            return self._write(job)

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """See `JobLeases.lease`."""
        with self._lock:
            try:
                return self._keep(leased(self._get(job), worker, now, seconds))
            except Settled as end:
                if self.jobs[job].state != end.job.state:
                    self._write(end.job)
                raise

    def release(self, job: str, lease: Lease, now: float, *, broke: bool = False) -> None:
        """See `JobLeases.release`."""
        with self._lock:
            self._keep(released(self._get(job), lease, now, broke=broke))

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        """See `JobLeases.settle`."""
        with self._lock:
            found = self._get(job)
            end = settled(found, lease, outcome, now)
            if end is found:
                return JobEvent(end.id, EVENTS[end.state], end.updated)
            _, event = self._write(end)
            if not notify:
                del self.pending[event.job, event.kind]
            return event

    def read_many(self, jobs: Sequence[str]) -> dict[str, Job]:
        """See `JobBatches.read_many`."""
        with self._lock:
            return {job: self.jobs[job] for job in jobs if job in self.jobs}

    def lease_many(
        self, jobs: Sequence[Job], worker: str, now: float, seconds: float
    ) -> dict[str, Job]:
        """See `JobBatches.lease_many`."""
        found = {}
        with self._lock:
            for job in jobs:
                if job.state == "ACCEPTED" and job.deadline > now and self.jobs.get(job.id) == job:
                    found[job.id] = self._keep(leased(job, worker, now, seconds))
        return found

    def settle_many(
        self, ends: Sequence[tuple[Job, JobOutcome]], now: float
    ) -> dict[str, JobEvent]:
        """See `JobBatches.settle_many`."""
        events = {}
        for job, outcome in ends:
            assert job.lease is not None
            held = self.jobs.get(job.id)
            if held is None or held.settled:  # perhaps by a call whose reply was lost
                continue
            with suppress(QuintetError):
                events[job.id] = self.settle(job.id, job.lease, outcome, now, notify=job.notify)
        return events

    def get(self, job: str, owner: str | None = None) -> Job:
        """See `JobQueries.get`."""
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
    ) -> JobPage:
        """See `JobQueries.page`."""
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
            JobSummary(job.id, job.model, job.version, job.state, job.created, job.updated)
            for job in found[:most]
        ]
        return JobPage(page, page[-1].id if len(found) > most else None)

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, JobEvent | None]:
        """See `JobQueries.cancel`."""
        with self._lock:
            found = self._get(job, owner)
            end = cancelled(found, now)
            return (end, None) if end is found else self._write(end)

    def outbox(self, before: float, most: int = 100) -> list[JobEvent]:
        """See `Outbox.outbox`."""
        with self._lock:
            due = [event for event in self.pending.values() if event.at < before]
        return sorted(due, key=lambda event: event.at)[:most]

    def sent(self, event: JobEvent) -> None:
        """See `Outbox.sent`."""
        with self._lock:
            self.pending.pop((event.job, event.kind), None)

    def sent_many(self, events: Sequence[JobEvent]) -> None:
        """See `Outbox.sent_many`."""
        for event in events:
            self.sent(event)

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """See `JobExpiry.overdue`."""
        with self._lock:
            late = [job for job in self.jobs.values() if not job.settled and job.deadline <= now]
        return [job.id for job in sorted(late, key=lambda job: job.deadline)[:most]]

    def expire(self, job: str, now: float) -> JobEvent | None:
        """See `JobExpiry.expire`."""
        with self._lock:
            found = self._get(job)
            end = expired(found, now)
            return None if end is found else self._write(end)[1]

    def _first_use(self, owner: str, key: IdempotencyKey, now: float) -> _KeyRecord | None:
        found = self._keys.get((owner, key.digest))
        if found is None or found.expires <= now:
            return None
        if found.payload != key.payload:
            raise KeyReused
        return found

    def _get(self, job: str, owner: str | None = None) -> Job:
        found = self.jobs.get(job)
        if found is None or owner not in (None, found.owner):
            raise unknown(job)
        return found

    def _keep(self, job: Job) -> Job:
        self.jobs[job.id] = job
        return job

    def _write(self, job: Job) -> tuple[Job, JobEvent]:
        """Store a job in its new state, with the event."""
        event = JobEvent(job.id, EVENTS[job.state], job.updated)
        self.pending[event.job, event.kind] = event
        return self._keep(job), event


class MemoryBlobs:
    """Blobs in memory."""

    def __init__(self, bucket: str = "payloads") -> None:
        self.bucket = bucket
        self.stored: dict[str, bytes] = {}
        self.types: dict[str, str] = {}

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """See `Blobs.put`."""
        place = f"s3://{self.bucket}/{key}"
        self.stored[place], self.types[place] = body, content_type
        return place

    def get(self, place: str, most: int) -> bytes:
        """See `Blobs.get`."""
        if self.describe(place)[0] > most:
            raise TooLarge([Refusal(None, "input", f"at most {most} bytes", "more")])
        return self.stored[place]

    def describe(self, place: str) -> tuple[int, str]:
        """See `Blobs.describe`."""
        if place not in self.stored:
            raise NotFound([Refusal(None, "input", "an object that can be read", "none")])
        return len(self.stored[place]), self.types[place]
