"""Where jobs and payloads are stored: one port a need. `quintet.jobs.memory` implements all."""

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

#: bytes of a request, and of a result, that a job's item holds; larger ones go to S3. DynamoDB
#: bills the whole item at each write, twice in a transaction: a request at three, a result at one
INLINE_REQUEST = 4 * 1024
INLINE_RESULT = 8 * 1024
#: bytes of an input that its caller put into S3; of JSON, which takes up to thirty times its bytes
#: while it is parsed, so many as fit into a worker's memory
MAX_INPUT_BYTES = 100_000_000
MAX_JSON_INPUT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key: the SHA-256 of the caller's text, and that of the request."""

    digest: str
    payload: str


class KeyReused(Unprocessable):
    """The idempotency key was used before, with another request (422)."""

    def __init__(self) -> None:
        refused = BadInput.of("Idempotency-Key", "a new key, or the payload it came with", "other")
        super().__init__(refused.refusals)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What happened to a job: `accepted` goes to the workers, any other kind to its owner.

    The message on either queue is its JSON; it names the job and holds nothing of it.
    """

    job: str
    kind: str
    at: float = 0.0

    def message(self) -> str:
        """The message's body."""
        message = {"job": self.job, "event": self.kind}
        # the notify queue has messages of other types, too; the work queue has not
        return json.dumps(message if self.kind == "accepted" else {**message, "type": "job"})

    @classmethod
    def read(cls, body: str) -> JobEvent:
        """The event in a message. Raises BadInput: the message is not ours."""
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
    """A job as lists show it."""

    id: str
    model: str
    version: int
    state: State
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first. `next` asks for the page after, None on the last one.

    A filtered page may hold fewer than were asked for, even none, before the last one.
    """

    jobs: list[JobSummary]
    next: str | None


class JobSubmissions(Protocol):
    """Stores new jobs."""

    def earlier(self, owner: str, key: IdempotencyKey, now: float) -> Job | None:
        """The job that a caller's key led to before; None if it is new.

        Raises:
            KeyReused: the key was used with another request.
            Transient: the store does not answer.
        """
        ...

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[Job, JobEvent | None]:
        """Store a job with its key and its event, all or none; the job stored, and the event.

        If the key was used before with the same request, return that earlier job and no event.

        Raises:
            KeyReused: the key was used with another request.
            Transient: the store does not answer.
        """
        ...


class JobLeases(Protocol):
    """What workers need. `seconds` is how long a lease holds; `now` is the worker's clock.

    Every write is conditional on owner and fence, and the lease's end is in the condition.
    """

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """Lease a job; its `lease` is the right to settle it. One past its deadline expires.

        A worker that asks again gets the lease that it has. Taking over an expired lease counts
        the run under it as `broken`.

        Raises:
            NotFound: the job does not exist.
            Settled: the job has ended.
            Busy: another worker has it; this is Transient.
        """
        ...

    def release(self, job: str, lease: Lease, now: float, *, broke: bool = False) -> None:
        """Release a job, so that the next attempt need not wait; `broke` if its run broke off.

        Raises:
            LostLease: the lease does not hold.
        """
        ...

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        """End a job and write its event, both or none; idempotent.

        Without `notify` no event is written.

        Raises:
            LostLease: the lease does not hold (also: the job was cancelled). Transient.
        """
        ...


class JobBatches(Protocol):
    """Leases and ends of many jobs in few calls. What a call leaves out may be asked for alone.

    Each job is written under the conditions that it has alone. Raises Transient: the state of all
    of them is unknown.
    """

    def read_many(self, jobs: Sequence[str]) -> Mapping[str, Job]:
        """Different jobs as they are stored now, by id."""
        ...

    def lease_many(
        self, jobs: Sequence[Job], worker: str, now: float, seconds: float
    ) -> Mapping[str, Job]:
        """Lease different accepted jobs, unchanged since they were read; those leased, by id."""
        ...

    def settle_many(
        self, ends: Sequence[tuple[Job, JobOutcome]], now: float
    ) -> Mapping[str, JobEvent]:
        """End leased jobs, and write the events of those with `notify`; the event of each job that
        was ended, by id."""
        ...


class JobQueries(Protocol):
    """What callers may do with their jobs. With an `owner`, the jobs of others are not found."""

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
    ) -> JobPage:
        """A caller's jobs, newest first. Raises BadInput: `after` is not a page's `next`."""
        ...

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, JobEvent | None]:
        """Cancel a job; no event if it was cancelled before. Raises NotFound, Settled."""
        ...


class Outbox(Protocol):
    """Events that are stored and not published yet."""

    def outbox(self, before: float, most: int = 100) -> list[JobEvent]:
        """Events written before a moment, some of the oldest."""
        ...

    def sent(self, event: JobEvent) -> None:
        """Remove an event that was sent."""
        ...

    def sent_many(self, events: Sequence[JobEvent]) -> None:
        """Remove events that were sent. Raises Transient; some may then be left."""
        ...


class JobExpiry(Protocol):
    """Expires jobs past their deadline."""

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """Ids of jobs past their deadline that are not settled, some of them."""
        ...

    def expire(self, job: str, now: float) -> JobEvent | None:
        """Expire a job; no event if it was expired before. Raises NotFound, Settled, Busy."""
        ...


class JobStore(JobSubmissions, JobLeases, JobBatches, JobQueries, Outbox, JobExpiry, Protocol):
    """All of them."""


class Blobs(Protocol):
    """Payloads and results too large for a job's item, by their place in S3: s3://bucket/key."""

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """Store under a key of the payloads bucket (payloads/..., results/...); its place."""
        ...

    def get(self, place: str, most: int) -> bytes:
        """The object at a place, of at most `most` bytes.

        Raises:
            NotFound: the object does not exist, or may not be read.
            TooLarge: it is larger.
            Transient: S3 does not answer.
        """
        ...

    def size(self, place: str) -> int:
        """The size of the object at a place, in bytes. Raises as `get` does."""
        ...


def max_input_bytes(content_type: str) -> int:
    """The bytes that an input in S3 of a content type may have; without a type it may be JSON."""
    return MAX_JSON_INPUT_BYTES if content_type in ("", "application/json") else MAX_INPUT_BYTES
