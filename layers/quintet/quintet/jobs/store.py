"""Where jobs are kept: one port for each need. `quintet.jobs.memory` has all of them in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.errors import BadInput, Unprocessable
from quintet.jobs.job import (
    EVENTS,
    Job,
    JobOutcome,
    Lease,
    State,
)

__all__ = [
    "IdempotencyKey",
    "JobBatches",
    "JobEvent",
    "JobLeases",
    "JobPage",
    "JobQueries",
    "JobStore",
    "JobSubmissions",
    "JobSummary",
    "KeyReused",
    "Outbox",
]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key: the SHA-256 of what the caller sent, and that of the payload."""

    digest: str
    payload: str


class KeyReused(Unprocessable):
    """The idempotency key came before, with another payload (422)."""

    def __init__(self) -> None:
        refused = BadInput.of("Idempotency-Key", "a new key, or the payload it came with", "other")
        super().__init__(refused.refusals)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What is to be announced of a job: `accepted` to the workers, any other event to its owner.

    The message on either queue is its JSON; it refers to the job and holds nothing of it.
    """

    job: str
    kind: str
    at: float = 0.0

    def message(self) -> str:
        """The message's body."""
        return json.dumps({"job": self.job, "event": self.kind})

    @classmethod
    def read(cls, body: str) -> JobEvent:
        """The event in a message.

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
    """Some jobs, newest first; `next` asks for those after them, None where there are none."""

    jobs: list[JobSummary]
    next: str | None


class JobSubmissions(Protocol):
    """Where jobs come in."""

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[Job, JobEvent | None]:
        """Store a job with its key and its event, all or none; what is stored, and the event.

        Where the key came before with the same payload, that earlier job comes back, and no
        event.

        Raises:
            KeyReused: the key came before with another payload.
            Transient: the store does not answer.
        """
        ...


class JobLeases(Protocol):
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

    def release(self, job: str, lease: Lease, now: float) -> None:
        """Give a job back so that the next attempt need not wait. Raises LostLease."""
        ...

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        """End a job and note what is to be announced, both or none; again does no harm.

        Without `notify` no event is written: nobody asked for one.

        Raises:
            LostLease: the lease does not hold (also: the job was cancelled). Transient.
        """
        ...


class JobBatches(Protocol):
    """Many jobs in few calls, where they go together: what is left out may be asked for alone.

    Each is written by the conditions that it has alone. Raises Transient: nothing is known of any.
    """

    def lease_many(
        self, jobs: Sequence[str], worker: str, now: float, seconds: float
    ) -> Mapping[str, Job]:
        """Take different jobs; those that could be taken so, by their ids."""
        ...

    def settle_many(
        self, ends: Sequence[tuple[Job, JobOutcome]], now: float
    ) -> Mapping[str, JobEvent]:
        """End leased jobs, and write the events of those with `notify`;
        the events of those that could be ended so, by their ids."""
        ...


class JobQueries(Protocol):
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
    ) -> JobPage:
        """A caller's jobs, newest first. Raises BadInput: `after` is not a page's `next`."""
        ...

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, JobEvent | None]:
        """Cancel a job; no event if it was cancelled before. Raises NotFound, Settled."""
        ...


class Outbox(Protocol):
    """What is to be announced, or to be expired, and was not yet."""

    def outbox(self, before: float, most: int = 100) -> list[JobEvent]:
        """Notices written before a moment, some of the oldest."""
        ...

    def sent(self, event: JobEvent) -> None:
        """A event was sent: forget it."""
        ...

    def sent_many(self, events: Sequence[JobEvent]) -> None:
        """Notices were sent: forget them. Raises Transient; some may then be left."""
        ...

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """Ids of jobs past their deadline that are not settled, some of them."""
        ...

    def expire(self, job: str, now: float) -> JobEvent | None:
        """Expire a job; no event if it was before. Raises NotFound, Settled, Busy."""
        ...


class JobStore(JobSubmissions, JobLeases, JobBatches, JobQueries, Outbox, Protocol):
    """All of them."""
