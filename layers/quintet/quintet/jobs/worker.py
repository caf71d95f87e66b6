"""One invocation of a worker: lease jobs, read requests, score them in groups, settle jobs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from quintet.errors import BadInput, Transient
from quintet.features import FeatureSource
from quintet.jobs.captures import JobCaptures
from quintet.jobs.grouping import Read, Scored, groups, in_time, read, score
from quintet.jobs.messages import NOT_OURS, Delivery, MessageResult, Visibility, retry_delays
from quintet.jobs.store import Blobs, max_input_bytes
from quintet.jobs.transitions import Answered, JobTransitions, LeasedJob, concurrently
from quintet.jobs.units import Waiting, suspects, units
from quintet.serving import Steps
from quintet.serving.model_cache import ModelCache

__all__ = ["Worker"]

NO_TIME = "out of time"


@dataclass(frozen=True)
class Worker:
    """Works on batches of messages. `jobs` leases and settles the jobs that they name."""

    jobs: JobTransitions
    blobs: Blobs
    models: ModelCache
    features: FeatureSource
    visibility: Visibility
    clock: Callable[[], float]
    captures: JobCaptures

    def work(
        self, deliveries: Sequence[Delivery], has_time: Callable[[], bool] = lambda: True
    ) -> list[MessageResult]:
        """Process the jobs of a batch of messages; return the result of each message.

        Jobs not started when `has_time` returns False are retried.
        """
        received = _by_job(deliveries)
        waiting, results = self.jobs.read(received.first)
        results += [self.jobs.bury(result) for result in received.refused]
        self._expect_crash(suspects(waiting))
        worker = uuid.uuid4().hex
        for unit in units(waiting):
            results += self._work(worker, unit, has_time)
        results += _duplicates(received.again, results)
        self.visibility.delay(retry_delays(results, self.jobs.lease_seconds))
        return results

    def _expect_crash(self, suspected: Sequence[Waiting]) -> None:
        """Shorten the visibility timeout of suspects' messages, in case this worker crashes.

        The queue's own visibility timeout is several times as long as an invocation.
        """
        soon = math.ceil(self.jobs.lease_seconds)
        self.visibility.delay({one.delivery.receipt: soon for one in suspected})

    def _work(
        self, worker: str, unit: Sequence[Waiting], has_time: Callable[[], bool]
    ) -> list[MessageResult]:
        """Lease and process the jobs of a unit."""
        if not has_time():
            return [one.delivery.again(one.name, NO_TIME) for one in unit]
        leased, results = self.jobs.lease(worker, unit)
        by_job = {one.job.id: one for one in leased}
        reads, refused = self._read(leased)
        results += self.jobs.settle(refused)
        for group in groups(reads):
            leased = [by_job[found.job.id] for found in group]
            if has_time():
                # settle before the next model run, so that a crash loses only one run
                results += self.jobs.settle(self._answer(leased, group))
            else:
                results += self._release(leased)
        return results

    def _release(self, leased: Sequence[LeasedJob]) -> list[MessageResult]:
        return [self.jobs.release(one, NO_TIME) for one in leased]

    def _read(self, unit: Sequence[LeasedJob]) -> tuple[list[Read], list[Answered]]:
        """Read requests; return those that could be read, and the errors of the others."""
        reads, refused = [], []
        for one, body in zip(unit, concurrently(self.jobs.threads, self._load, unit), strict=True):
            try:
                if isinstance(body, Exception):
                    raise body
                reads.append(read(one.job, body, self.models))
            except Exception as error:
                self.captures.refused(one.job, error, self.models)
                refused.append(Answered(one, error))
        return reads, refused

    def _load(self, one: LeasedJob) -> bytes | Exception:
        """Load the body of a job's request; return the body or the error."""
        content = one.job.request
        if content.place is None:
            return content.body or b""
        try:
            body = self.blobs.get(content.place, max_input_bytes(content.content_type))
        except Exception as error:
            return error
        return body or BadInput.of("input", "at least one byte", "an empty object (0 bytes)")

    def _answer(self, leased: Sequence[LeasedJob], group: Sequence[Read]) -> list[Answered]:
        """Score a group; return each job's answer or error."""
        return [
            Answered(one, scored.answer, found.asked.batch.rows)
            for one, found, scored in zip(leased, group, self._score(group), strict=True)
        ]

    def _score(self, group: Sequence[Read]) -> Sequence[Scored]:
        begun, steps = self.clock(), Steps()
        try:
            begin = partial(self.captures.begin, group)
            scored = score(group, self.models, self.features, begun, steps=steps, begin=begin)
            scored = in_time(group, scored, self.clock() - begun)
            self.captures.scored(group, scored, steps)
            return scored
        except Transient as error:
            self.captures.broke_off(error)
            return [Scored(error)] * len(group)
        except Exception as error:  # it is unknown which job caused it: score each alone
            if len(group) == 1:
                return [Scored(error)]
            return list(chain.from_iterable(self._score([found]) for found in group))


@dataclass(frozen=True, slots=True)
class _Received:
    """Messages by job: the first of each job, duplicates, and those that name no job."""

    first: Mapping[str, Delivery]
    again: Sequence[tuple[str, Delivery]]
    refused: list[MessageResult]


def _by_job(deliveries: Sequence[Delivery]) -> _Received:
    first: dict[str, Delivery] = {}
    again, refused = [], []
    for delivery in deliveries:
        try:
            job = delivery.job()
        except BadInput as error:
            refused.append(MessageResult(delivery, NOT_OURS, False, reason=str(error)))
            continue
        if first.setdefault(job, delivery) is not delivery:
            again.append((job, delivery))
    return _Received(first, again, refused)


def _duplicates(
    again: Sequence[tuple[str, Delivery]], results: Sequence[MessageResult]
) -> list[MessageResult]:
    """The results of duplicate messages: those of the job's first message."""
    done = {result.job: result.acknowledged for result in results}
    return [MessageResult(delivery, "delivered twice", done[job], job) for job, delivery in again]
