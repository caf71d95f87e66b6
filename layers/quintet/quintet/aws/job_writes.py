"""Writes to the jobs table: for one job, and for many jobs in few calls.

Jobs that a transaction cannot include are left for the caller to write one by one.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Item, Table, text
from quintet.aws.job_items import (
    LEASE_AS_READ,
    MINE,
    SHARDS,
    expiry,
    job_of,
    leasing,
    mine,
    moment,
    notice_item,
    outcome_attributes,
)
from quintet.errors import Transient
from quintet.jobs.job import EVENTS, Job, JobOutcome, State, leased
from quintet.jobs.store import JobEvent

__all__ = ["JobCalls", "JobGroups"]

#: limits of one transaction: its writes, and its bytes (DynamoDB allows four million)
MAX_WRITES = 100
MAX_BYTES = 3_000_000
#: bytes of an item besides its payload and its result
ITEM_BYTES = 2_000
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MAX_READ = 100

T = TypeVar("T")


class JobCalls(Table):
    """Calls to the jobs table. The conditions of writes recognize a repeated write.

    All of them raise Transient, and ConditionFailed if a condition does not hold.
    """

    def __init__(self, client: AwsClient, table: str, retention: float) -> None:
        super().__init__(client, table)
        self._retention = retention

    def due(self, kind: str, before: float, most: int) -> Iterator[Item]:
        """The keys of `notice` or `open` items due before a time, up to `most` per shard."""
        for number_of_shard in range(SHARDS):
            query = {
                "IndexName": "by_outbox",
                "KeyConditionExpression": "outbox = :shard AND due < :before",
                "ExpressionAttributeValues": {
                    ":shard": text(f"{kind}#{number_of_shard}"),
                    ":before": text(moment(before)),
                },
                "Limit": most,
            }
            for count, item in enumerate(self.pages("Query", **query)):
                if count >= most:
                    break
                yield item

    def end(
        self,
        notice: JobEvent,
        state: State,
        condition: str,
        values: Mapping[str, Any],
        attributes: Mapping[str, Any] | None = None,
        *,
        notify: bool = True,
    ) -> None:
        """End a job and write its notice atomically; no notice unless `notify`."""
        update, *puts = self.ending(notice, state, condition, values, attributes, notify=notify)
        if puts:
            self.transact([update, *puts])
        else:
            self.call("UpdateItem", **update["Update"])

    def ending(
        self,
        notice: JobEvent,
        state: State,
        condition: str,
        values: Mapping[str, Any],
        attributes: Mapping[str, Any] | None = None,
        *,
        notify: bool = True,
    ) -> list[dict[str, Any]]:
        """The writes of `end` for `transact`; the job's own write comes first."""
        more = attributes or {}
        sets = ["#state = :end", "updated = :now", *(f"#{name} = :{name}" for name in more)]
        names = {"#state": "state", **{f"#{name}": name for name in more}}
        if "#owner" in condition:
            names["#owner"] = "owner"
        update = {
            "TableName": self.name,
            "Key": {"job": text(notice.job)},
            "UpdateExpression": f"SET {', '.join(sets)} REMOVE outbox, due",
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                **values,
                ":end": text(state),
                **{f":{name}": value for name, value in more.items()},
            },
        }
        announced = {**notice_item(notice), **expiry(notice.at + self._retention)}
        return [{"Update": update}, *([self.put(announced)] if notify else [])]

    def put(
        self, item: Item, condition: str | None = None, values: Item | None = None
    ) -> dict[str, Any]:
        """A write for `transact` that puts an item."""
        put: Item = {"TableName": self.name, "Item": item}
        if condition is not None:
            put["ConditionExpression"] = condition
        if values is not None:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def transact(self, writes: list[dict[str, Any]]) -> None:
        """Run several writes as one transaction."""
        self.send("TransactWriteItems", {"TransactItems": writes})

    def update(
        self,
        job: str,
        expression: str,
        condition: str,
        values: Item,
        returned: str = "NONE",
    ) -> dict[str, Any]:
        """Update a job's item if the condition holds."""
        payload = {**self.change(job, expression, condition, values), "ReturnValues": returned}
        return self.call("UpdateItem", **payload)

    def change(self, job: str, expression: str, condition: str, values: Item) -> dict[str, Any]:
        """The write of `update`, for `transact`."""
        return {
            "TableName": self.name,
            "Key": {"job": text(job)},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": values,
        }

    def delete(self, key: str) -> None:
        """Delete an item; idempotent."""
        self.call("DeleteItem", Key={"job": text(key)})

    def read_many(self, keys: Sequence[str]) -> list[Item]:
        """Read up to 100 items, consistently; items beyond one response's size are left out."""
        wanted = {"Keys": [{"job": text(key)} for key in keys], "ConsistentRead": True}
        answer = self.send("BatchGetItem", {"RequestItems": {self.name: wanted}})
        found: list[Item] = answer["Responses"].get(self.name, [])
        return found

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete up to 25 items. Raises Transient also if some of them were not deleted."""
        deletes = [{"DeleteRequest": {"Key": {"job": text(key)}}} for key in keys]
        answer = self.send("BatchWriteItem", {"RequestItems": {self.name: deletes}})
        if answer.get("UnprocessedItems"):
            raise Transient("dynamodb left some items undeleted")


class JobGroups:
    """Leases and ends many jobs at once, under the same conditions as one by one."""

    def __init__(self, calls: JobCalls) -> None:
        self._calls = calls

    def read(self, jobs: Sequence[str]) -> dict[str, Job]:
        """See `quintet.jobs.store.JobBatches.read_many`."""
        found: dict[str, Job] = {}
        for start in range(0, len(jobs), MAX_READ):
            items = self._calls.read_many(jobs[start : start + MAX_READ])
            found |= {item["job"]["S"]: job_of(item) for item in items}
        return found

    def lease(self, jobs: Sequence[Job], worker: str, now: float, seconds: float) -> dict[str, Job]:
        """See `quintet.jobs.store.JobBatches.lease_many`."""
        held: dict[str, Job] = {}
        for some in _transactions(jobs, _lease_size):
            read = {job.id: job for job in some}
            writes = {}
            for name, job in read.items():
                values = {**leasing(worker, now, seconds), ":fence": {"N": str(job.attempts)}}
                writes[name] = [{"Update": self._calls.change(name, *LEASE_AS_READ, values)}]
            with suppress(Transient):
                written = self._written(writes)
                held |= {name: leased(read[name], worker, now, seconds) for name in written}
        return held

    def settle(self, ends: Sequence[tuple[Job, JobOutcome]], now: float) -> dict[str, JobEvent]:
        """See `quintet.jobs.store.JobBatches.settle_many`."""
        notices: dict[str, JobEvent] = {}
        for some in _transactions(ends, _end_size):
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
        """Write jobs in one transaction and return those that were written.

        If some conditions do not hold, a second transaction writes the other jobs; a third is
        not tried.

        Raises:
            Transient: the table does not respond.
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


def _transactions(items: Sequence[T], size_of: Callable[[T], tuple[int, int]]) -> Iterator[list[T]]:
    """Split items into groups that each fit one transaction, by writes and bytes."""
    some: list[T] = []
    all_writes = all_bytes = 0
    for item in items:
        writes, size = size_of(item)
        if some and (all_writes + writes > MAX_WRITES or all_bytes + size > MAX_BYTES):
            yield some
            some, all_writes, all_bytes = [], 0, 0
        some.append(item)
        all_writes, all_bytes = all_writes + writes, all_bytes + size
    if some:
        yield some


def _lease_size(job: Job) -> tuple[int, int]:
    """The number of writes of a lease, and its bytes: those of the whole item."""
    return 1, ITEM_BYTES + len(job.request.body or b"")


def _end_size(end: tuple[Job, JobOutcome]) -> tuple[int, int]:
    """The number of writes of an end, and their bytes: those of the whole item."""
    job, outcome = end
    result = (outcome.result and outcome.result.body) or b""
    return 1 + job.notify, _lease_size(job)[1] + len(result)
