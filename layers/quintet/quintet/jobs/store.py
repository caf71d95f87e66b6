"""Ports for storing jobs and payloads, one per need. `quintet.jobs.memory` implements them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.errors import BadInput, Unprocessable
from quintet.jobs.job import EVENTS, Job, JobOutcome, Lease, State

__all__ = [
    "INLINE_REQUEST",
    "INLINE_RESULT",
    "MAX_INPUT_BYTES",
    "MAX_JSON_INPUT_BYTES",
    "Blobs",
    "IdempotencyKey",
    "JobBatches",
    "JobEvent",
    "JobExpiry",
    "JobLeases",
    "JobPage",
    "JobQueries",
    "JobStore",
    "JobSubmissions",
    "JobSummary",
    "KeyReused",
    "Outbox",
    "max_input_bytes",
]

#: largest request, and result, in bytes, stored in a job's item; larger ones go to S3. DynamoDB
#: bills the whole item at each write, twice in a transaction: a request is written three times, a
#: result once
INLINE_REQUEST = 4 * 1024
INLINE_RESULT = 8 * 1024
#: largest input in S3, in bytes. JSON takes up to thirty times its size in memory while it is
#: parsed, so its limit is what fits into a worker's memory
MAX_INPUT_BYTES = 100_000_000
MAX_JSON_INPUT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key: the SHA-256 of the caller's key, and that of the request."""

    digest: str
    payload: str


class KeyReused(Unprocessable):
    """The idempotency key was used before with a different request (422)."""

    def __init__(self) -> None:
        refused = BadInput.of("Idempotency-Key", "a new key, or the payload it came with", "other")
        super().__init__(refused.refusals)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event of a job: `accepted` goes to the workers, any other kind to its owner.

    The message on either queue is its JSON; it names the job and contains no payload.
    """

    job: str
    kind: str
    at: float = 0.0

    def message(self) -> str:
        """The message's body."""
        message = {"job": self.job, "event": self.kind}
        # only the notify queue also has messages of other types
        return json.dumps(message if self.kind == "accepted" else {**message, "type": "job"})

    @classmethod
    def read(cls, body: str) -> JobEvent:
        """Parse a message. Raises BadInput: it is not a job event."""
        try:
            found: Any = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not (
            isinstance(found, dict)
            and found.keys() - {"type"} == {"job", "event"}
            and found.get("type", "job") == "job"
            and isinstance(found["job"], str)
            and found["event"] in EVENTS.values()
        ):
            raise BadInput.of("message", "a job and an event", "something else")
        return cls(found["job"], found["event"])


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as shown in lists."""

    id: str
    model: str
    version: int
    state: State
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, newest first. `next` is the next page's cursor; None on the last page.

    A filtered page may hold fewer jobs than requested, or none, and not be the last.
    """

    jobs: list[JobSummary]
    next: str | None


class JobSubmissions(Protocol):
    """Stores new jobs."""

    def earlier(self, owner: str, key: IdempotencyKey, now: float) -> Job | None:
        """Return the job that a caller's key created; None if the key is new.

        Raises:
            KeyReused: the key was used with another request.
            Transient: the store does not answer.
        """
        ...

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[Job, JobEvent | None]:
        """Store a job with its key and event atomically; return the stored job and the event.

        If the key was used before with the same request, return that earlier job and no event.

        Raises:
            KeyReused: the key was used with another request.
            Transient: the store does not answer.
        """
        ...


class JobLeases(Protocol):
    """Leases of jobs, for workers. A lease lasts `seconds`; `now` is the worker's clock.

    Every write is conditional on the lease's owner, fence and expiry.
    """

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """Lease a job; only its `lease` can settle it. A job past its deadline expires.

        A worker that asks again gets its current lease. Taking over an expired lease counts
        the run under it as `broken`.

        Raises:
            NotFound: the job does not exist.
            Settled: the job has ended.
            Busy: another worker holds it; this is Transient.
        """
        ...

    def release(self, job: str, lease: Lease, now: float, *, broke: bool = False) -> None:
        """Release a job so that the next attempt can start; `broke`: its run broke off.

        Raises:
            LostLease: the lease is no longer valid.
        """
        ...

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        """Settle a job and write its event atomically; idempotent.

        Without `notify` no event is written.

        Raises:
            LostLease: the lease is no longer valid, or the job was cancelled.
            Transient: the store does not answer.
        """
        ...


class JobBatches(Protocol):
    """Leases and settles many jobs in few calls. Jobs missing from a result can be retried alone.

    Each job is written under the same conditions as alone. Raises Transient: the state of all
    of them is unknown.
    """

    def read_many(self, jobs: Sequence[str]) -> Mapping[str, Job]:
        """Read the stored state of different jobs, by id."""
        ...

    def lease_many(
        self, jobs: Sequence[Job], worker: str, now: float, seconds: float
    ) -> Mapping[str, Job]:
        """Lease different accepted jobs, unchanged since they were read; return those leased."""
        ...

    def settle_many(
        self, ends: Sequence[tuple[Job, JobOutcome]], now: float
    ) -> Mapping[str, JobEvent]:
        """Settle leased jobs, and write the events of those with `notify`; return the event of
        each settled job, by id."""
        ...


class JobQueries(Protocol):
    """Callers' operations on their jobs. With an `owner`, other callers' jobs are not found."""

    def get(self, job: str, owner: str | None = None) -> Job:
        """Read a job. Raises NotFound."""
        ...

    def page(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> JobPage:
        """List a caller's jobs, newest first. Raises BadInput: `after` is not a page's `next`."""
        ...

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, JobEvent | None]:
        """Cancel a job; no event if it was cancelled before. Raises NotFound, Settled."""
        ...


class Outbox(Protocol):
    """Stored events that are not yet published."""

    def outbox(self, before: float, most: int = 100) -> list[JobEvent]:
        """Read some of the oldest events written before a time."""
        ...

    def sent(self, event: JobEvent) -> None:
        """Remove an event that was sent."""
        ...

    def sent_many(self, events: Sequence[JobEvent]) -> None:
        """Remove events that were sent. Raises Transient; some may then remain."""
        ...


class JobExpiry(Protocol):
    """Expires jobs past their deadline."""

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """Read the ids of some unsettled jobs past their deadline."""
        ...

    def expire(self, job: str, now: float) -> JobEvent | None:
        """Expire a job; no event if it was expired before. Raises NotFound, Settled, Busy."""
        ...


class JobStore(JobSubmissions, JobLeases, JobBatches, JobQueries, Outbox, JobExpiry, Protocol):
    """All ports of the job store."""


class Blobs(Protocol):
    """Payloads and results too large for a job's item, by S3 location: s3://bucket/key."""

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """Store a blob in the payloads bucket (payloads/..., results/...); return its location."""
        ...

    def get(self, place: str, most: int) -> bytes:
        """Read the object at a location, of at most `most` bytes.

        Raises:
            NotFound: the object does not exist, or may not be read.
            TooLarge: the object is larger.
            Transient: S3 does not answer.
        """
        ...

    def describe(self, place: str) -> tuple[int, str]:
        """The size in bytes and the content type of the object at a location.

        Raises as `get` does.
        """
        ...


def max_input_bytes(content_type: str) -> int:
    """The largest size in bytes of an S3 input of a content type; no type is treated as JSON."""
    return MAX_JSON_INPUT_BYTES if content_type in ("", "application/json") else MAX_INPUT_BYTES
