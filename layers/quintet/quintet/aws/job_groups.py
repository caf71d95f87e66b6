"""Many jobs of the table in few calls. What does not go together is left to be asked for alone.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from quintet.aws.dynamodb import ConditionFailed
from quintet.aws.job_calls import JobCalls
from quintet.aws.job_holding import LEASE, MINE, leasing, mine
from quintet.aws.job_items import job_of, outcome_attributes
from quintet.errors import Transient
from quintet.jobs.job import EVENTS, Job, JobOutcome
from quintet.jobs.store import JobEvent

__all__ = ["JobGroups"]

#: writes of one transaction; and bytes, of the four million that it may have
MOST_WRITES = 100
MOST_BYTES = 3_000_000
#: what an item has beside its payload and its result
ITEM_BYTES = 2_000


class JobGroups:
    """Leases and ends of many jobs at once, each by the conditions that it has alone."""

    def __init__(self, calls: JobCalls) -> None:
        self._calls = calls

    def lease(self, jobs: Sequence[str], worker: str, now: float, seconds: float) -> dict[str, Job]:
        """See `quintet.jobs.store.JobBatches.lease_many`."""
        values = leasing(worker, now, seconds)
        found: dict[str, Job] = {}
        for start in range(0, len(jobs), MOST_WRITES):
            some = jobs[start : start + MOST_WRITES]
            with suppress(Transient):
                held = self._written(
                    {job: [{"Update": self._calls.change(job, *LEASE, values)}] for job in some}
                )
                items = self._calls.read_many(held) if held else []
                found |= {item["job"]["S"]: job_of(item) for item in items}
        return {
            name: job
            for name, job in found.items()
            if job.state == "LEASED" and job.lease is not None and job.lease.owner == worker
        }

    def settle(self, ends: Sequence[tuple[Job, JobOutcome]], now: float) -> dict[str, JobEvent]:
        """See `quintet.jobs.store.JobBatches.settle_many`."""
        notices: dict[str, JobEvent] = {}
        for some in _transactions(ends):
            writes, told = {}, {}
            for job, outcome in some:
                assert job.lease is not None
                notice = told[job.id] = JobEvent(job.id, EVENTS[outcome.state], now)
                more, values = outcome_attributes(outcome), mine(job.lease, now)
                writes[job.id] = self._calls.ending(
                    notice, outcome.state, MINE, values, more, notify=job.notify
                )
            with suppress(Transient):
                notices |= {job: told[job] for job in self._written(writes)}
        return notices

    def _written(self, writes: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
        """The jobs whose writes were done, in one transaction.

        Those whose conditions do not hold are left out of a second one; there is no third.

        Raises:
            Transient: the table does not answer.
        """
        waiting = dict(writes)
        for _ in range(2):
            every = [(job, dict(write)) for job, some in waiting.items() for write in some]
            if not every:
                return []
            try:
                self._calls.transact([write for _, write in every])
            except ConditionFailed as error:
                for place in error.writes:
                    waiting.pop(every[place][0], None)
                continue
            return list(waiting)
        return []


def _transactions(
    ends: Sequence[tuple[Job, JobOutcome]],
) -> Iterator[list[tuple[Job, JobOutcome]]]:
    """The ends that go into one transaction each, by count and by bytes."""
    some: list[tuple[Job, JobOutcome]] = []
    size = writes = 0
    for job, outcome in ends:
        content = outcome.result
        more = ITEM_BYTES + len(job.request.body or b"") + len((content and content.body) or b"")
        if some and (writes + 1 + job.notify > MOST_WRITES or size + more > MOST_BYTES):
            yield some
            some, size, writes = [], 0, 0
        some.append((job, outcome))
        size, writes = size + more, writes + 1 + job.notify
    if some:
        yield some
