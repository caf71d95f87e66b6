"""One invocation's work: lease, read, score in groups, store, settle, announce.

What happens to a message follows from its job: settled jobs, by whomever, are acknowledged;
what may go better later fails and comes back. A worker that dies leaves its leases to run out.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from quintet.errors import BadInput, ModelFailure, QuintetError, Transient
from quintet.features import FeatureSource
from quintet.jobs.blobs import INLINE_RESULT, MAX_INPUT_BYTES, Blobs
from quintet.jobs.deliveries import Delivery, Visibility, backoff
from quintet.jobs.dispatch import OutboxPublisher
from quintet.jobs.fates import LEASED_ELSEWHERE, NOT_OURS, MessageResult, Task
from quintet.jobs.grouping import Read, failed, groups, in_time, keep_failure, read, score
from quintet.jobs.job import Busy, Content, Job, JobOutcome, LostLease, Settled
from quintet.jobs.store import JobBatches, JobEvent, JobLeases
from quintet.protocols.http import Response
from quintet.serving.model_cache import ModelCache

__all__ = ["Worker"]

#: bytes of requests that are in memory at once, unless one has more by itself
WAVE_BYTES = 64_000_000
#: a job that has been tried so often and never settled may be what kills its workers
SUSPECT_ATTEMPTS = 3
THREADS = 16
NO_TIME = "out of time"

#: a job's task, its answer or why there is none, and its rows
Answered = tuple[Task, Response | Exception, int]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Worker:
    """Everything that working takes. `lease_seconds` is longer than an invocation can be."""

    leases: JobLeases
    together: JobBatches
    blobs: Blobs
    models: ModelCache
    features: FeatureSource
    publisher: OutboxPublisher
    visibility: Visibility
    clock: Callable[[], float]
    lease_seconds: float
    threads: int = THREADS

    def work(
        self, deliveries: Sequence[Delivery], has_time: Callable[[], bool] = lambda: True
    ) -> list[MessageResult]:
        """Work on the jobs of a batch of messages; what became of each message.

        Jobs that are not begun when `has_time` says no more are given back.
        """
        worker = uuid.uuid4().hex
        first: dict[str, Delivery] = {}
        twice = []
        results = []
        for delivery in deliveries:
            try:
                job = delivery.job()
            except BadInput as error:
                results.append(MessageResult(delivery, NOT_OURS, False, reason=str(error)))
                continue
            if first.setdefault(job, delivery) is not delivery:
                twice.append((job, delivery))
        tasks = []
        for found in self._leased(worker, first):
            if isinstance(found, MessageResult):
                results.append(found)
            else:
                tasks.append(found)
        for wave in _waves(tasks):
            if has_time():
                results += self._wave(wave, has_time)
            else:
                results += [self._give_back(task, NO_TIME) for task in wave]
        done = {result.job: result for result in results}
        results += [
            MessageResult(delivery, "delivered twice", done[job].acknowledged, job)
            for job, delivery in twice
        ]
        self.visibility.delay(self._waits([one for one in results if not one.acknowledged]))
        return results

    def _waits(self, failed: Sequence[MessageResult]) -> dict[str, int]:
        """Seconds until each message comes back, by its receipt."""
        waits = backoff([result.delivery for result in failed])
        for result in failed:
            if result.event == LEASED_ELSEWHERE:  # a crashed one still holds its lease
                seconds = random.uniform(self.lease_seconds / 2, self.lease_seconds)
                waits[result.delivery.receipt] = round(seconds)
            elif result.event == NOT_OURS or result.delivery.last:  # nothing heals it
                waits[result.delivery.receipt] = 0
        return waits

    # ---- one by one ------------------------------------------------------------------------

    def _lease(self, worker: str, asked: tuple[str, Delivery]) -> Task | MessageResult:
        job, delivery = asked
        try:
            leased = self.leases.lease(job, worker, self.clock(), self.lease_seconds)
        except Settled as error:
            return MessageResult(delivery, "settled before", True, job, reason=error.job.state)
        except BadInput:
            return MessageResult(delivery, "unknown job", True, job)
        except Busy as error:
            return MessageResult(delivery, LEASED_ELSEWHERE, False, job, reason=str(error))
        except Exception as error:
            return MessageResult(delivery, "not leased", False, job, reason=_told(error))
        return Task(delivery, leased)

    def _load(self, task: Task) -> tuple[Task, bytes | Exception]:
        """The request's body, or why there is none."""
        content = task.job.request
        try:
            if content.place is None:
                return task, content.body or b""
            body = self.blobs.get(content.place, MAX_INPUT_BYTES)
            if not body:
                raise BadInput.of("input", "at least one byte", "an empty object (0 bytes)")
        except Exception as error:
            return task, error
        return task, body

    def _read(self, task: Task, body: bytes) -> Read | Exception:
        try:
            return read(task.job, body, self.models)
        except Exception as error:
            return error

    def _outcome(self, answered: Answered) -> JobOutcome | Exception:
        """What a job's answer makes of it, kept where its caller looks; or why it may come back."""
        task, answer, _ = answered
        try:
            if isinstance(answer, Response):
                return JobOutcome(self._result(task.job, answer))
            if isinstance(answer, BadInput | ModelFailure):
                outcome = failed(answer)
                keep_failure(self.blobs, task.job, outcome)
                return outcome
        except Exception as error:
            return error
        return answer

    def _finish(self, ended: tuple[Task, JobOutcome | Exception, int]) -> MessageResult:
        """Settle a job with its outcome; or, where trying again may help, let it come back."""
        task, outcome, rows = ended
        try:
            if isinstance(outcome, JobOutcome):
                return self._settle(task, outcome, rows)
        except LostLease as error:
            return self._lost(task, error)
        except Exception as error:
            outcome = error
        if task.delivery.last:
            return self._give_up(task, outcome)
        return self._give_back(task, _told(outcome))

    def _result(self, job: Job, answer: Response) -> Content:
        body, kind = answer.body, answer.content_type
        # SageMaker's callers were told of a place in S3
        if len(body) <= INLINE_RESULT and not job.inference_id:
            return Content(kind, len(body), body, headers=answer.headers)
        place = self.blobs.put(job.result_key, body, kind)
        return Content(kind, len(body), place=place, headers=answer.headers)

    def _settle(
        self, task: Task, outcome: JobOutcome, rows: int, *, last: bool = False
    ) -> MessageResult:
        """End the job and announce it; an event that cannot be sent now waits for the sweep."""
        job = task.job
        event = self.leases.settle(job.id, task.lease, outcome, self.clock(), notify=job.notify)
        reason = outcome.reason
        try:
            if job.notify:
                self.publisher.publish(event)
        except Transient as error:
            reason = reason or _told(error)
        return task.result(event.kind, not last, reason, rows)

    def _lost(self, task: Task, error: LostLease) -> MessageResult:
        """The lease is gone: the job was cancelled, or took too long and is another's now."""
        found = self._lease(task.lease.owner, (task.job.id, task.delivery))
        if isinstance(found, MessageResult):
            return found
        return self._give_back(found, str(error))

    def _give_up(self, task: Task, error: Exception) -> MessageResult:
        """The last receive failed, too: the job fails, its message goes to the dead letters."""
        outcome = failed(error if isinstance(error, QuintetError) else None)
        with suppress(Transient):  # the job says it, too
            keep_failure(self.blobs, task.job, outcome)
        try:
            return self._settle(task, outcome, 0, last=True)
        except LostLease as lost:
            return self._lost(task, lost)
        except Exception as again:
            return task.result("not settled", False, _told(again))

    def _give_back(self, task: Task, reason: str) -> MessageResult:
        try:
            self.leases.release(task.job.id, task.lease, self.clock())
        except Exception as error:  # the lease runs out by itself
            return task.result("not released", False, f"{reason}; {_told(error)}")
        return task.result("to be tried again", False, reason)

    # ---- many at once ------------------------------------------------------------------------

    def _wave(self, tasks: Sequence[Task], has_time: Callable[[], bool]) -> list[MessageResult]:
        """Jobs whose requests fit in memory together."""
        answered: list[Answered] = []
        results = []
        reads: list[Read] = []
        by_job = {task.job.id: task for task in tasks}
        for task, body in self._map(self._load, tasks):
            found = body if isinstance(body, Exception) else self._read(task, body)
            if isinstance(found, Exception):
                answered.append((task, found, 0))
            else:
                reads.append(found)
        results += self._settled(answered)
        for together in groups(reads):
            if not has_time():
                results += [self._give_back(by_job[found.job.id], NO_TIME) for found in together]
                continue
            answers = self._score(together)
            # settled before the next run, so that a worker that dies loses one run only
            results += self._settled(
                [
                    (by_job[found.job.id], answer, found.asked.batch.rows)
                    for found, answer in zip(together, answers, strict=True)
                ]
            )
        return results

    def _leased(self, worker: str, jobs: Mapping[str, Delivery]) -> list[Task | MessageResult]:
        """Jobs' leases, or what else becomes of their messages."""
        held: Mapping[str, Job] = {}
        if len(jobs) > 1:
            with suppress(Transient):
                held = self.together.lease_many(
                    list(jobs), worker, self.clock(), self.lease_seconds
                )
        alone = [(job, delivery) for job, delivery in jobs.items() if job not in held]
        found: list[Task | MessageResult] = [Task(jobs[name], job) for name, job in held.items()]
        return found + self._map(partial(self._lease, worker), alone)

    def _settled(self, answered: Sequence[Answered]) -> list[MessageResult]:
        """Settle jobs with their answers and announce them: together, or alone where that fails."""
        outcomes = self._map(self._outcome, answered)
        ended = [(task, out, rows) for (task, _, rows), out in zip(answered, outcomes, strict=True)]
        ends = [(task.job, out) for task, out, _ in ended if isinstance(out, JobOutcome)]
        events: Mapping[str, JobEvent] = {}
        if len(ends) > 1:
            with suppress(Transient):
                events = self.together.settle_many(ends, self.clock())
            told = [events[job.id] for job, _ in ends if job.notify and job.id in events]
            self.publisher.publish_many(told)
        alone = [one for one in ended if one[0].job.id not in events]
        return self._map(self._finish, alone) + [
            task.result(events[task.job.id].kind, True, out.reason, rows)
            for task, out, rows in ended
            if task.job.id in events and isinstance(out, JobOutcome)
        ]

    def _score(self, together: Sequence[Read]) -> Sequence[Response | Exception]:
        begun = self.clock()
        try:
            return in_time(together, score(together, self.features, begun), self.clock() - begun)
        except Transient as error:
            return [error] * len(together)
        except Exception as error:  # of one of them, and no one knows of which: each alone
            if len(together) == 1:
                return [error]
            return list(chain.from_iterable(self._score([found]) for found in together))

    def _map(self, do: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`do` for every item, several at a time: the time goes into waiting for AWS."""
        if len(items) < 2 or self.threads < 2:
            return [do(item) for item in items]
        with ThreadPoolExecutor(min(self.threads, len(items))) as pool:
            return list(pool.map(do, items))


def _waves(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Jobs that are worked on together; suspects come last, each by itself."""
    wave: list[Task] = []
    size = 0
    for task in tasks:
        if task.job.attempts >= SUSPECT_ATTEMPTS:
            continue
        if wave and size + task.job.request.size > WAVE_BYTES:
            yield wave
            wave, size = [], 0
        wave.append(task)
        size += task.job.request.size
    if wave:
        yield wave
    for task in tasks:
        if task.job.attempts >= SUSPECT_ATTEMPTS:
            yield [task]


def _told(error: Exception) -> str:
    """An error for the log; the text of one that was not foreseen may quote the request."""
    return str(error) if isinstance(error, QuintetError) else type(error).__name__
