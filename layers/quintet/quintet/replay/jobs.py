"""The jobs of dead letters, and reopening those that failed on our side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from quintet.jobs.job import Job
from quintet.jobs.memory import MemoryJobs

__all__ = ["KnownJob", "MemoryReplayJobs", "NoJobs", "ReplayJobs", "failed_on_our_side", "reopened"]

#: a problem of at least this status is ours, not the request's: another attempt may succeed
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A message's job as the jobs table has it; `error` is its problem's detail."""

    model: str
    state: str
    error: str = ""


class ReplayJobs(Protocol):
    """The jobs of messages."""

    def find(self, job: str) -> KnownJob | None:
        """A job by its id; None if it does not exist or no longer exists."""
        ...

    def reopen(self, job: str) -> bool:
        """Set a job that failed on our side back to ACCEPTED; False for any other."""
        ...


class NoJobs:
    """A stack without jobs."""

    def find(self, job: str) -> KnownJob | None:
        """See `ReplayJobs.find`."""
        return None

    def reopen(self, job: str) -> bool:
        """See `ReplayJobs.reopen`."""
        return False


@dataclass(frozen=True)
class MemoryReplayJobs:
    """Jobs in memory."""

    jobs: MemoryJobs
    clock: Callable[[], float] = time.time

    def find(self, job: str) -> KnownJob | None:
        """See `ReplayJobs.find`."""
        found = self.jobs.jobs.get(job)
        if found is None:
            return None
        return KnownJob(found.model, found.state, str((found.problem or {}).get("detail", "")))

    def reopen(self, job: str) -> bool:
        """See `ReplayJobs.reopen`."""
        found = self.jobs.jobs.get(job)
        if found is None or not failed_on_our_side(found.state, found.problem or {}):
            return False
        self.jobs.jobs[job] = reopened(found, self.clock())
        return True


def failed_on_our_side(state: str, problem: Mapping[str, Any]) -> bool:
    """Whether a job failed because its message could not be handled, not due to its request."""
    return state == "FAILED" and int(problem.get("status", 0)) >= SERVER_ERROR


def reopened(job: Job, now: float) -> Job:
    """A failed job, accepted again with its original time to live and number of attempts.

    The fence (`attempts`) is kept, so that an earlier worker cannot write.
    """
    return replace(
        job,
        state="ACCEPTED",
        updated=now,
        deadline=now + job.deadline - job.created,
        broken=0,
        lease=None,
        problem=None,
        reopened=job.reopened + 1,
    )
