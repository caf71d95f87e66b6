"""A job and its state machine: pure functions from a job and a time to the next job, or an error.

ACCEPTED -> LEASED(owner, fence, until) -> DONE | FAILED | EXPIRED | CANCELLED. The fence
counts the leases of a job: the holder of an older one can change nothing. Times are seconds since
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
#: so many runs of a job may break off; what passes (an outage) costs none, its deadline ends it
MAX_BROKEN = 3

#: the event of a job that enters a state
EVENTS: Mapping[State, str] = {
    "ACCEPTED": "accepted",
    "DONE": "completed",
    "FAILED": "failed",
    "EXPIRED": "expired",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Content:
    """A request's or a result's body, here (`body`) or in S3 (`place`, s3://bucket/key).

    `headers` are the other headers that decoding needs, names in lower case.
    """

    content_type: str
    size: int
    body: bytes | None = None
    place: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job: the worker that has it, its fence, and its end."""

    owner: str
    fence: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One asynchronous request.

    `owner` is its caller, `version` the model version pinned when it was accepted, `form` the
    protocol of its request and result (records, oip, sagemaker). A job that no worker has begun by
    its `deadline` expires. `endpoint` is the registered endpoint of its callback, `notify_topic`
    whether its end is published to SNS. The lease stays after the job is settled, as its record.
    `output` is the key of a result in S3 if the caller named one; `run_limit` bounds the seconds of
    the run that scores it, None for no bound. `attempts` counts its leases, `broken` its runs that
    broke off: the worker crashed or ran out of time, or met an error that it does not know.
    `reopened` counts how often a replay of its dead letter took a FAILED job back to ACCEPTED.
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

    @property
    def settled(self) -> bool:
        """Whether the job has ended."""
        return self.state in SETTLED

    @property
    def suspect(self) -> bool:
        """Whether it may be what crashes its workers: an open job as it is read, not leased.

        A worker that lives releases or settles what it leased.
        """
        return self.state == "LEASED" or self.broken > 0 or self.reopened > 0

    @property
    def poison(self) -> bool:
        """Whether its runs broke off as often as they may."""
        return self.broken >= MAX_BROKEN

    @property
    def result_key(self) -> str:
        """The key in S3 of a result that is stored there."""
        return self.output or f"results/{self.id}"

    @property
    def failure_key(self) -> str:
        """The key in S3 of the problem of one of SageMaker's jobs."""
        return f"{self.result_key}.error"

    @property
    def notify(self) -> bool:
        """Whether anyone is to be notified of its end: an endpoint, or the SNS topic."""
        return self.endpoint is not None or self.notify_topic


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The outcome of a job: a result, or a problem in the form of RFC 9457."""

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
    """The job has ended already; `job` is as it is stored."""

    def __init__(self, job: Job) -> None:
        super().__init__([Refusal(None, "job", "one that is not settled", job.state)])
        self.job = job


class Busy(Transient):
    """Another worker holds the job's lease."""


class LostLease(Transient):
    """The lease expired, or another worker has the job: nothing was changed."""


def unknown(job: str) -> NotFound:
    """The job does not exist, or belongs to another caller: the answer is the same for both."""
    return NotFound([Refusal(None, "job", "one of your jobs", repr(job[:60]))])


def leased(job: Job, worker: str, now: float, seconds: float) -> Job:
    """The job with a worker's lease on it; the same again for the worker that has it.

    Whoever takes over an expired lease counts the run under it as broken off.

    Raises:
        Settled: it has ended, or its deadline has passed.
        Busy: another lease on it has not expired.
    """
    if job.settled:
        raise Settled(job)
    if job.state == "LEASED" and job.lease is not None and job.lease.until > now:
        if job.lease.owner == worker:  # the reply to the first time was lost
            return job
        raise Busy("another worker holds the job")
    if job.deadline <= now:
        raise Settled(expired(job, now))
    fence = job.attempts + 1
    lease = Lease(worker, fence, now + seconds)
    broken = job.broken + (job.state == "LEASED")
    return replace(job, state="LEASED", lease=lease, attempts=fence, broken=broken, updated=now)


def released(job: Job, lease: Lease, now: float, *, broke: bool = False) -> Job:
    """The job released, for another attempt; `broke` if its run broke off. Raises LostLease."""
    held, broken = _held(job, lease, now), job.broken + broke
    return replace(job, state="ACCEPTED", lease=held, broken=broken, updated=now)


def settled(job: Job, lease: Lease, outcome: JobOutcome, now: float) -> Job:
    """The job with its outcome; the same again for the same lease.

    Raises:
        LostLease: the lease does not hold.
    """
    mine = job.lease is not None and (job.lease.owner, job.lease.fence) == (
        lease.owner,
        lease.fence,
    )
    if job.state in ("DONE", "FAILED") and mine:  # the reply to the first time was lost
        return job
    _held(job, lease, now)
    return replace(
        job, state=outcome.state, result=outcome.result, problem=outcome.problem, updated=now
    )


def cancelled(job: Job, now: float) -> Job:
    """The job, cancelled; a worker that has it loses its lease.

    Raises:
        Settled: it has ended otherwise.
    """
    if job.state == "CANCELLED":
        return job
    if job.settled:
        raise Settled(job)
    return replace(job, state="CANCELLED", updated=now)


def expired(job: Job, now: float) -> Job:
    """The job, expired; one that a worker holds may still be settled.

    Raises:
        Settled: it has ended otherwise.
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


def _held(job: Job, lease: Lease, now: float) -> Lease:
    """The lease as it is stored, if it is this one and has not expired."""
    held = job.lease
    if (
        job.state != "LEASED"
        or held is None
        or (held.owner, held.fence) != (lease.owner, lease.fence)
        or held.until <= now
    ):
        raise LostLease("the lease on the job is lost")
    return held
