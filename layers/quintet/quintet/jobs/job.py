"""A job and its state machine: pure functions that return the job's next state or raise.

ACCEPTED -> LEASED(owner, fence, until) -> DONE | FAILED | EXPIRED | CANCELLED. The fence
counts a job's leases: the holder of an older lease cannot change the job. Times are seconds since
the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from quintet.errors import Conflict, NotFound, Refusal, Transient

__all__ = [
    "EVENTS",
    "MAX_BROKEN",
    "OPEN",
    "SETTLED",
    "Busy",
    "Content",
    "Job",
    "JobOutcome",
    "JobRollout",
    "Lease",
    "LostLease",
    "Settled",
    "State",
    "cancelled",
    "expired",
    "leased",
    "released",
    "settled",
    "unknown",
]

State = Literal["ACCEPTED", "LEASED", "DONE", "FAILED", "EXPIRED", "CANCELLED"]
OPEN: tuple[State, ...] = ("ACCEPTED", "LEASED")
SETTLED: tuple[State, ...] = ("DONE", "FAILED", "EXPIRED", "CANCELLED")
#: how many runs of a job may break off. Transient failures do not count; the deadline bounds them
MAX_BROKEN = 3

#: the event emitted when a job enters a state
EVENTS: Mapping[State, str] = {
    "ACCEPTED": "accepted",
    "DONE": "completed",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a request or result: inline (`body`) or in S3 (`place`, s3://bucket/key).

    `headers` are the other headers that decoding needs, names in lower case.
    """

    content_type: str
    size: int
    body: bytes | None = None
    place: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job: its worker, its fence, and when it expires."""

    owner: str
    fence: int
    until: float


@dataclass(frozen=True, slots=True)
class JobRollout:
    """The rollout that a job was accepted under: its id and step.

    `candidate` answers the `share` (0 to 1) of the entities, and the job's version the others; None
    in shadow. A candidate that was promoted is the job's version itself.
    """

    id: str
    step: int
    candidate: int | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One asynchronous request.

    `owner` is its caller, `version` the model version pinned when it was accepted, `form` the
    protocol of its request and result (records, oip, sagemaker). `rollout` splits its rows between
    versions; None if the caller chose the version, or without a rollout. A job expires if no worker
    starts it before its `deadline`. `endpoint` is the registered endpoint for its callback;
    `notify_topic` says whether SNS is notified when it ends. A settled job keeps its last lease as
    a record. `output` is the S3 key of the result, if the caller chose one; `run_limit` bounds the
    seconds of the run that scores it (None: no bound). `attempts` counts its leases. `broken`
    counts runs that broke off: the worker crashed, ran out of time, or hit an unexpected error.
    `reopened` counts how often a replay of its dead letter moved the job from FAILED back to
    ACCEPTED. `traceparent` is the W3C context of its request, if that had one.
    """

    id: str
    owner: str
    model: str
    version: int
    form: str
    request: Content
    created: float
    updated: float
    deadline: float
    state: State = "ACCEPTED"
    attempts: int = 0
    broken: int = 0
    inference_id: str = ""
    endpoint: str | None = None
    notify_topic: bool = False
    output: str = ""
    run_limit: int | None = None
    lease: Lease | None = None
    result: Content | None = None
    problem: Mapping[str, Any] | None = None
    reopened: int = 0
    traceparent: str = ""
    rollout: JobRollout | None = None

    @property
    def settled(self) -> bool:
        """Whether the job has ended."""
        return self.state in SETTLED

    @property
    def suspect(self) -> bool:
        """Whether an open job, read but not leased, may be crashing its workers.

        A worker that does not crash releases or settles every job it leases.
        """
        return self.state == "LEASED" or self.broken > 0 or self.reopened > 0

    @property
    def poison(self) -> bool:
        """Whether its runs broke off `MAX_BROKEN` times."""
        return self.broken >= MAX_BROKEN

    @property
    def result_key(self) -> str:
        """The S3 key of a result stored in S3."""
        return self.output or f"results/{self.id}"

    @property
    def failure_key(self) -> str:
        """The S3 key of the error of a SageMaker job."""
        return f"{self.result_key}.error"

    @property
    def notify(self) -> bool:
        """Whether an endpoint or the SNS topic is notified when the job ends."""
        return self.endpoint is not None or self.notify_topic


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The outcome of a job: a result, or an RFC 9457 problem."""

    result: Content | None = None
    problem: Mapping[str, Any] | None = None

    @property
    def state(self) -> State:
        """DONE with a result, FAILED with a problem."""
        return "DONE" if self.problem is None else "FAILED"

    @property
    def reason(self) -> str:
        """The problem's title, or an empty string."""
        return "" if self.problem is None else str(self.problem["title"])


class Settled(Conflict):
    """The job has already ended; `job` is its stored state."""

    def __init__(self, job: Job) -> None:
        super().__init__([Refusal(None, "job", "one that is not settled", job.state)])
        self.job = job


class Busy(Transient):
    """Another worker holds the job's lease."""


class LostLease(Transient):
    """The lease expired, or another worker holds the job. Nothing was changed."""


def unknown(job: str) -> NotFound:
    """The error for a job that does not exist or belongs to another caller: the same for both."""
    return NotFound([Refusal(None, "job", "one of your jobs", repr(job[:60]))])


def leased(job: Job, worker: str, now: float, seconds: float) -> Job:
    """Return the job leased to a worker; unchanged if the worker already holds the lease.

    Taking over an expired lease counts the run under it as broken off.

    Raises:
        Settled: the job has ended, or its deadline has passed.
        Busy: another worker's lease has not expired.
    """
    if job.settled:
        raise Settled(job)
    if job.state == "LEASED" and job.lease is not None and job.lease.until > now:
        if job.lease.owner == worker:  # the reply to the first call was lost
            return job
        raise Busy("another worker holds the job")
    if job.deadline <= now:
        raise Settled(expired(job, now))
    fence = job.attempts + 1
    lease = Lease(worker, fence, now + seconds)
    broken = job.broken + (job.state == "LEASED")
    return replace(job, state="LEASED", lease=lease, attempts=fence, broken=broken, updated=now)


def released(job: Job, lease: Lease, now: float, *, broke: bool = False) -> Job:
    """Release the job for another attempt; `broke`: its run broke off. Raises LostLease."""
    _require(job, lease, now)
    return replace(job, state="ACCEPTED", broken=job.broken + broke, updated=now)


def settled(job: Job, lease: Lease, outcome: JobOutcome, now: float) -> Job:
    """Return the job with its outcome; idempotent for one lease.

    Raises:
        LostLease: the lease is no longer valid.
    """
    mine = job.lease is not None and (job.lease.owner, job.lease.fence) == (
        lease.owner,
        lease.fence,
    )
    if job.state in ("DONE", "FAILED") and mine:  # the reply to the first call was lost
        return job
    _require(job, lease, now)
    return replace(
        job, state=outcome.state, result=outcome.result, problem=outcome.problem, updated=now
    )


def cancelled(job: Job, now: float) -> Job:
    """Cancel the job; a worker that holds it loses its lease.

    Raises:
        Settled: the job has ended in another state.
    """
    if job.state == "CANCELLED":
        return job
    if job.settled:
        raise Settled(job)
    return replace(job, state="CANCELLED", updated=now)


def expired(job: Job, now: float) -> Job:
    """Expire the job, unless a worker holds it: that worker may still settle it.

    Raises:
        Settled: the job has ended in another state.
        Busy: a worker holds it, or its deadline has not passed.
    """
    if job.state == "EXPIRED":
        return job
    if job.settled:
        raise Settled(job)
    working = job.state == "LEASED" and job.lease is not None and job.lease.until > now
    if working or job.deadline > now:
        raise Busy("the job's time is not over")
    return replace(job, state="EXPIRED", updated=now)


def _require(job: Job, lease: Lease, now: float) -> None:
    """Raise LostLease unless the job is held by this lease, which has not expired."""
    held = job.lease
    if (
        job.state != "LEASED"
        or held is None
        or (held.owner, held.fence) != (lease.owner, lease.fence)
        or held.until <= now
    ):
        raise LostLease("the lease on the job is lost")
