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
    Lease,
    Outcome,
    State,
)

__all__ = [
    "Acceptance",
    "Desk",
    "JobStore",
    "Key",
    "KeyReused",
    "Leases",
    "Notice",
    "Outbox",
    "Page",
    "Summary",
    "Together",
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

    def release(self, job: str, lease: Lease, now: float) -> None:
        """Give a job back so that the next attempt need not wait. Raises LostLease."""
        ...

    def settle(
        self, job: str, lease: Lease, outcome: Outcome, now: float, *, told: bool = True
    ) -> Notice:
        """End a job and note what is to be announced, both or none; again does no harm.

        Of a job of whose end nobody wants to be `told` nothing is noted.

        Raises:
            LostLease: the lease does not hold (also: the job was cancelled). Transient.
        """
        ...


class Together(Protocol):
    """Many jobs in few calls, where they go together: what is left out may be asked for alone.

    Each is written by the conditions that it has alone. Raises Transient: nothing is known of any.
    """

    def lease_many(
        self, jobs: Sequence[str], worker: str, now: float, seconds: float
    ) -> Mapping[str, Job]:
        """Take different jobs; those that could be taken so, by their ids."""
        ...

    def settle_many(self, ends: Sequence[tuple[Job, Outcome]], now: float) -> Mapping[str, Notice]:
        """End leased jobs, and note what is to be announced of those that are to be told of;
        the notices of those that could be ended so, by their ids."""
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

    def sent_many(self, notices: Sequence[Notice]) -> None:
        """Notices were sent: forget them. Raises Transient; some may then be left."""
        ...

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """Ids of jobs past their deadline that are not settled, some of them."""
        ...

    def expire(self, job: str, now: float) -> Notice | None:
        """Expire a job; no notice if it was before. Raises NotFound, Settled, Busy."""
        ...


class JobStore(Acceptance, Leases, Together, Desk, Outbox, Protocol):
    """All of them."""
