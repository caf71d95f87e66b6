"""A worker's operations on jobs: lease, settle, release. Each returns the message's result.

The message of a job that has ended is acknowledged. If another attempt may help, the message fails
and is retried until the job's deadline. The leases of a crashed worker expire; taking one over
counts a run of the job that broke off. A job whose runs broke off too often is poison: it fails,
and its message is sent to the dead-letter queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from quintet.errors import BadInput, ModelFailure, QuintetError, Transient
from quintet.jobs.job import Busy, Content, Job, JobOutcome, Lease, LostLease, Settled, leased
from quintet.jobs.messages import (
    LEASED_ELSEWHERE,
    TRY_AGAIN,
    DeadLetterBox,
    Delivery,
    MessageResult,
    OutboxPublisher,
)
from quintet.jobs.store import INLINE_RESULT, Blobs, JobBatches, JobEvent, JobLeases
from quintet.jobs.units import Waiting
from quintet.protocols import records
from quintet.protocols.http import Response, json_body

__all__ = [
    "BROKE_OFF",
    "THREADS",
    "Answered",
    "JobTransitions",
    "LeasedJob",
    "concurrently",
    "failed",
    "keep_failure",
]

THREADS = 16
# 503, a failure on our side: a replay moves such a job back to ACCEPTED
BROKE_OFF = Transient("every attempt to work on the job broke off")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job leased by the worker, and its message."""

    delivery: Delivery
    job: Job

    @property
    def lease(self) -> Lease:
        """The right to settle the job."""
        assert self.job.lease is not None
        return self.job.lease

    def result(
        self, event: str, acknowledged: bool, reason: str = "", rows: int = 0
    ) -> MessageResult:
        """The result of the job's message."""
        job = self.job
        place = (job.id, job.model, job.version)
        found = MessageResult(self.delivery, event, acknowledged, *place, rows, reason)
        return replace(found, traceparent=job.traceparent)


@dataclass(frozen=True, slots=True)
class Answered:
    """A job's answer or error."""

    leased: LeasedJob
    answer: Response | Exception
    rows: int = 0


@dataclass(frozen=True, slots=True)
class _Decided:
    """A job's outcome, or the error that may be retried."""

    leased: LeasedJob
    outcome: JobOutcome | Exception
    rows: int


@dataclass(frozen=True)
class JobTransitions:
    """Changes jobs through its ports. `lease_seconds` is longer than an invocation can run."""

    leases: JobLeases
    batches: JobBatches
    blobs: Blobs
    publisher: OutboxPublisher
    letters: DeadLetterBox
    clock: Callable[[], float]
    lease_seconds: float
    threads: int = THREADS

    def read(self, jobs: Mapping[str, Delivery]) -> tuple[list[Waiting], list[MessageResult]]:
        """Return the jobs that can be started, and the results of the other messages."""
        known: Mapping[str, Job] = {}
        if len(jobs) > 1:  # one alone is leased unread
            with suppress(Transient):
                known = self.batches.read_many(list(jobs))
        waiting, results = [], []
        for name, delivery in jobs.items():
            job = known.get(name)
            try:
                if job is not None:
                    leased(job, "", self.clock(), self.lease_seconds)
                waiting.append(Waiting(name, delivery, job))
            except Settled as error:
                if error.job is job:
                    results.append(_settled_before(name, delivery, job))
                else:  # past its deadline: asking for its lease expires it
                    waiting.append(Waiting(name, delivery))
            except Busy as error:
                results.append(_elsewhere(name, delivery, error))
        return waiting, results

    def lease(
        self, worker: str, unit: Sequence[Waiting]
    ) -> tuple[list[LeasedJob], list[MessageResult]]:
        """Lease jobs, together if possible; return those leased and the results of the others."""
        held: Mapping[str, Job] = {}
        if len(unit) > 1:
            with suppress(Transient):
                known = [one.job for one in unit if one.job is not None]
                held = self.batches.lease_many(known, worker, self.clock(), self.lease_seconds)
        alone = [one for one in unit if one.name not in held]
        found = concurrently(self.threads, partial(self._lease, worker), alone)
        together = [LeasedJob(one.delivery, held[one.name]) for one in unit if one.name in held]
        results = [one for one in found if isinstance(one, MessageResult)]
        return together + [one for one in found if isinstance(one, LeasedJob)], results

    def bury(self, result: MessageResult) -> MessageResult:
        """Send a message that cannot be handled to the dead-letter queue; return its result."""
        try:
            self.letters.put(result.delivery.body)
        except Transient as error:
            return replace(result, acknowledged=False, reason=f"{result.reason}; {error}")
        return replace(result, acknowledged=True)

    def settle(self, answered: Sequence[Answered]) -> list[MessageResult]:
        """Settle jobs and publish their events: together if possible, else one by one."""
        decided = concurrently(self.threads, self._decide, answered)
        ends = [
            (one.leased.job, one.outcome) for one in decided if isinstance(one.outcome, JobOutcome)
        ]
        events = self._settle_many(ends) if len(ends) > 1 else {}
        alone = [one for one in decided if one.leased.job.id not in events]
        return concurrently(self.threads, self._finish, alone) + [
            one.leased.result(events[one.leased.job.id].kind, True, one.outcome.reason, one.rows)
            for one in decided
            if one.leased.job.id in events and isinstance(one.outcome, JobOutcome)
        ]

    def release(self, leased: LeasedJob, reason: str, *, broke: bool = False) -> MessageResult:
        """Release a job for another attempt; `broke`: its run broke off."""
        try:
            self.leases.release(leased.job.id, leased.lease, self.clock(), broke=broke)
        except Exception as error:  # the lease expires
            return leased.result("not released", False, f"{reason}; {_text(error)}")
        return leased.result(TRY_AGAIN, False, reason)

    def _lease(self, worker: str, asked: Waiting) -> LeasedJob | MessageResult:
        name, delivery = asked.name, asked.delivery
        try:
            job = self.leases.lease(name, worker, self.clock(), self.lease_seconds)
        except Settled as error:
            return _settled_before(name, delivery, error.job)
        except BadInput:
            return MessageResult(delivery, "unknown job", True, name)
        except Busy as error:
            return _elsewhere(name, delivery, error)
        except Exception as error:
            return MessageResult(delivery, "not leased", False, name, reason=_text(error))
        held = LeasedJob(delivery, job)
        return self._give_up(held, BROKE_OFF) if job.poison else held

    def _decide(self, one: Answered) -> _Decided:
        """Store an answer, or a final failure, where the caller looks for it."""
        job = one.leased.job
        outcome: JobOutcome | Exception
        try:
            if isinstance(one.answer, Response):
                outcome = JobOutcome(self._store(job, one.answer))
            elif isinstance(one.answer, BadInput | ModelFailure):
                outcome = failed(one.answer)
                keep_failure(self.blobs, job, outcome)
            else:
                outcome = one.answer
        except Exception as error:
            outcome = error
        return _Decided(one.leased, outcome, one.rows)

    def _store(self, job: Job, answer: Response) -> Content:
        body, kind = answer.body, answer.content_type
        # SageMaker's callers learned the S3 location when they submitted the job
        if len(body) <= INLINE_RESULT and not job.inference_id:
            return Content(kind, len(body), body, headers=answer.headers)
        place = self.blobs.put(job.result_key, body, kind)
        return Content(kind, len(body), place=place, headers=answer.headers)

    def _settle_many(self, ends: Sequence[tuple[Job, JobOutcome]]) -> Mapping[str, JobEvent]:
        events: Mapping[str, JobEvent] = {}
        with suppress(Transient):
            events = self.batches.settle_many(ends, self.clock())
        self.publisher.publish_many(
            [events[job.id] for job, _ in ends if job.notify and job.id in events]
        )
        return events

    def _finish(self, one: _Decided) -> MessageResult:
        """Settle one job. A transient error releases it; any other counts as a broken run."""
        outcome, job = one.outcome, one.leased.job
        try:
            if isinstance(outcome, JobOutcome):
                return self._settle(one.leased, outcome, one.rows)
        except LostLease as error:
            return self._lost(one.leased, error)
        except Exception as error:
            outcome = error
        if isinstance(outcome, Transient):
            return self.release(one.leased, _text(outcome))
        if replace(job, broken=job.broken + 1).poison:
            return self._give_up(one.leased, outcome)
        return self.release(one.leased, _text(outcome), broke=True)

    def _settle(self, leased: LeasedJob, outcome: JobOutcome, rows: int) -> MessageResult:
        """Settle the job and publish its event; if publishing fails, the sweep retries it."""
        job = leased.job
        event = self.leases.settle(job.id, leased.lease, outcome, self.clock(), notify=job.notify)
        reason = outcome.reason
        try:
            if job.notify:
                self.publisher.publish(event)
        except Transient as error:
            reason = reason or _text(error)
        return leased.result(event.kind, True, reason, rows)

    def _lost(self, leased: LeasedJob, error: LostLease) -> MessageResult:
        """Handle a lost lease: the job was cancelled, or another worker took it over."""
        found = self._lease(leased.lease.owner, Waiting(leased.job.id, leased.delivery))
        return found if isinstance(found, MessageResult) else self.release(found, str(error))

    def _give_up(self, leased: LeasedJob, error: Exception) -> MessageResult:
        """Fail a poison job, after a copy of its message is in the dead-letter queue."""
        outcome = failed(error if isinstance(error, QuintetError) else None)
        try:
            self.letters.put(leased.delivery.body)
            with suppress(Transient):  # the job also stores the failure
                keep_failure(self.blobs, leased.job, outcome)
            return self._settle(leased, outcome, 0)
        except LostLease as lost:
            return self._lost(leased, lost)
        except Exception as again:
            return self.release(leased, f"not settled; {_text(again)}", broke=True)


def _settled_before(name: str, delivery: Delivery, job: Job) -> MessageResult:
    return MessageResult(delivery, "settled before", True, name, reason=job.state)


def _elsewhere(name: str, delivery: Delivery, error: Busy) -> MessageResult:
    return MessageResult(delivery, LEASED_ELSEWHERE, False, name, reason=str(error))


def failed(error: QuintetError | None) -> JobOutcome:
    """The outcome of a failed job; None means an unexpected error."""
    return JobOutcome(problem=records.problem(error))


def keep_failure(blobs: Blobs, job: Job, outcome: JobOutcome) -> None:
    """Store a failure where SageMaker's callers look for it. Raises Transient."""
    if job.inference_id:
        body = json_body(outcome.problem)
        blobs.put(job.failure_key, body, "application/problem+json")


def concurrently(threads: int, do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call `do` for every item in several threads: most of the time is spent waiting for AWS."""
    if len(items) < 2 or threads < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(do, items))


def _text(error: Exception) -> str:
    """An error's text for the log; only the type of an unexpected one, as it may quote input."""
    return str(error) if isinstance(error, QuintetError) else type(error).__name__
