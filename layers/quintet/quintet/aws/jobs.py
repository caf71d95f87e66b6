"""The jobs table. Every write is one conditional call; only a refused write reads, to say why.

Items: a job under its id, an idempotency key under idem#<owner>#<digest>, a notice under
outbox#<event>#<job>. DynamoDB deletes expired items late, so conditions check `expires`, too.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from contextlib import suppress

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Item, number, text
from quintet.aws.job_items import (
    FREE,
    LEASE,
    MINE,
    OPEN,
    STATES,
    TAKE_OVER,
    expiry,
    job_item,
    job_of,
    leasing,
    mine,
    moment,
    notice_id,
    notice_item,
    notice_of,
    outcome_attributes,
    summary_of,
    taking_over,
)
from quintet.aws.job_writes import JobCalls, JobGroups
from quintet.errors import BadInput, Transient
from quintet.jobs.job import (
    EVENTS,
    Job,
    JobOutcome,
    Lease,
    Settled,
    State,
    cancelled,
    expired,
    leased,
    released,
    settled,
    unknown,
)
from quintet.jobs.store import IdempotencyKey, JobEvent, JobPage, JobSummary, KeyReused

__all__ = ["JobTable"]

DAY = 86_400
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
MAX_DELETED = 25
#: jobs that one query examines for a filter, and queries per page: they bound the time of a page,
#: however many jobs its caller has
MAX_EXAMINED, MAX_QUERIES = 1_000, 3


class JobTable:
    """Jobs in DynamoDB; see the ports in `quintet.jobs.store`. Every method raises Transient."""

    def __init__(self, client: AwsClient, table: str, *, retention_days: int) -> None:
        self.name = table
        self._retention = retention_days * DAY
        self._calls = JobCalls(client, table, self._retention)
        self._groups = JobGroups(self._calls)

    # ---- acceptance ------------------------------------------------------------------------

    def earlier(self, owner: str, key: IdempotencyKey, now: float) -> Job | None:
        """See `JobSubmissions.earlier`."""
        found = self._calls.item({"job": text(_key_id(owner, key))})
        if found is None or int(found["expires"]["N"]) <= now:
            return None
        if found["payload"]["S"] != key.payload:
            raise KeyReused
        return self.get(found["of"]["S"])

    def accept(self, job: Job, key: IdempotencyKey | None = None) -> tuple[Job, JobEvent | None]:
        """See `JobSubmissions.accept`."""
        notice = JobEvent(job.id, EVENTS[job.state], job.updated)
        # a key must expire before its job, or it would refer to a job that is gone
        expires = job.created + self._retention
        puts = [
            self._calls.put({**job_item(job), **expiry(expires + DAY)}, "attribute_not_exists(job)")
        ]
        puts.append(self._calls.put({**notice_item(notice), **expiry(expires)}))
        if key is not None:
            item = {
                "job": text(_key_id(job.owner, key)),
                "of": text(job.id),
                "payload": text(key.payload),
                **expiry(expires),
            }
            condition = "attribute_not_exists(job) OR expires <= :now"
            puts.append(self._calls.put(item, condition, {":now": number(job.created)}))
        try:
            self._calls.transact(puts)
        except ConditionFailed:
            if key is None:  # the response to the first attempt was lost
                return self.get(job.id), notice
            first = self.earlier(job.owner, key, job.created)
            if first is None:
                raise Transient("the idempotency key has just expired") from None
            return first, notice if first.id == job.id else None
        return job, notice

    # ---- leases ----------------------------------------------------------------------------

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """See `JobLeases.lease`."""
        _check_id(job)
        try:
            values = leasing(worker, now, seconds)
            answer = self._calls.update(job, *LEASE, values, returned="ALL_NEW")
        except ConditionFailed:
            return self._refused_lease(job, worker, now, seconds)
        return job_of(answer["Attributes"])

    def _refused_lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """Return the lease of a job that is not ACCEPTED, or the reason for the refusal."""
        found = self.get(job)
        try:
            again = leased(found, worker, now, seconds)
        except Settled as end:
            if end.job.state != found.state:
                self.expire(job, now)
            raise
        if again is found:  # the response to the first attempt was lost
            return found
        if found.state == "LEASED":
            values = taking_over(found, worker, now, seconds)
            with suppress(ConditionFailed):
                self._calls.update(job, *TAKE_OVER, values)
                return again
        raise Transient("the job was changed concurrently")

    def release(self, job: str, lease: Lease, now: float, *, broke: bool = False) -> None:
        """See `JobLeases.release`."""
        _check_id(job)
        change = "SET #state = :accepted, updated = :now"
        values = {**mine(lease, now), ":accepted": text("ACCEPTED")}
        if broke:
            change += " ADD broken :one"
            values[":one"] = {"N": "1"}
        try:
            self._calls.update(job, change, MINE, values)
        except ConditionFailed:
            released(self.get(job), lease, now)
            raise Transient("the job was changed concurrently") from None

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        """See `JobLeases.settle`."""
        _check_id(job)
        notice, more = JobEvent(job, EVENTS[outcome.state], now), outcome_attributes(outcome)
        try:
            self._calls.end(notice, outcome.state, MINE, mine(lease, now), more, notify=notify)
        except ConditionFailed:
            found = self.get(job)
            end = settled(found, lease, outcome, now)
            if end is not found:
                raise Transient("the job was changed concurrently") from None
            return JobEvent(job, EVENTS[end.state], end.updated)
        return notice

    def read_many(self, jobs: Sequence[str]) -> dict[str, Job]:
        """See `JobBatches.read_many`."""
        return self._groups.read([job for job in jobs if _is_id(job)])

    def lease_many(
        self, jobs: Sequence[Job], worker: str, now: float, seconds: float
    ) -> dict[str, Job]:
        """See `JobBatches.lease_many`."""
        return self._groups.lease(jobs, worker, now, seconds)

    def settle_many(
        self, ends: Sequence[tuple[Job, JobOutcome]], now: float
    ) -> dict[str, JobEvent]:
        """See `JobBatches.settle_many`."""
        return self._groups.settle(ends, now)

    # ---- queries ---------------------------------------------------------------------------

    def get(self, job: str, owner: str | None = None) -> Job:
        """See `JobQueries.get`."""
        _check_id(job)
        item = self._calls.item({"job": text(job)})
        if item is None or owner not in (None, item["owner"]["S"]):
            raise unknown(job)
        return job_of(item)

    def page(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> JobPage:
        """See `JobQueries.page`."""
        query: Item = {
            "IndexName": "by_owner",
            "KeyConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":owner": text(owner)},
            "ScanIndexForward": False,
            "Limit": most + 1 if model is None and state is None else MAX_EXAMINED,
        }
        filters = []
        for name, wanted in (("model", model), ("state", state)):
            if wanted is not None:
                filters.append(f"#{name} = :{name}")
                query["ExpressionAttributeNames"][f"#{name}"] = name
                query["ExpressionAttributeValues"][f":{name}"] = text(wanted)
        if filters:
            query["FilterExpression"] = " AND ".join(filters)
        if after is not None:
            query["ExclusiveStartKey"] = {**_position(after), "owner": text(owner)}
        found: list[JobSummary] = []
        for _ in range(MAX_QUERIES):
            answer = self._calls.call("Query", **query)
            found += [summary_of(item) for item in answer["Items"]]
            read_to: Item | None = answer.get("LastEvaluatedKey")
            if len(found) > most or read_to is None:
                break
            query["ExclusiveStartKey"] = read_to
        if len(found) > most:
            last = found[most - 1]
            return JobPage(found[:most], _token(last.id, moment(last.created)))
        end = None if read_to is None else _token(read_to["job"]["S"], read_to["created"]["S"])
        return JobPage(found, end)

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, JobEvent | None]:
        """See `JobQueries.cancel`."""
        notice = JobEvent(job, EVENTS["CANCELLED"], now)
        values = {**STATES, ":now": number(now)}
        condition = OPEN
        if owner is not None:
            condition += " AND #owner = :owner"
            values[":owner"] = text(owner)
        _check_id(job)
        try:
            self._calls.end(notice, "CANCELLED", condition, values)
        except ConditionFailed:
            found = self.get(job, owner)
            end = cancelled(found, now)
            if end is not found:
                raise Transient("the job was changed concurrently") from None
            return found, None
        return self.get(job, owner), notice

    # ---- the outbox ------------------------------------------------------------------------

    def outbox(self, before: float, most: int = 100) -> list[JobEvent]:
        """See `Outbox.outbox`."""
        found = [notice_of(item) for item in self._calls.due("notice", before, most)]
        return sorted(found, key=lambda notice: notice.at)[:most]

    def sent(self, notice: JobEvent) -> None:
        """See `Outbox.sent`."""
        self._calls.delete(notice_id(notice))

    def sent_many(self, notices: Sequence[JobEvent]) -> None:
        """See `Outbox.sent_many`."""
        for start in range(0, len(notices), MAX_DELETED):
            some = notices[start : start + MAX_DELETED]
            self._calls.delete_many([notice_id(notice) for notice in some])

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """See `JobExpiry.overdue`."""
        found = sorted(self._calls.due("open", now, most), key=lambda item: str(item["due"]["S"]))
        return [item["job"]["S"] for item in found[:most]]

    def expire(self, job: str, now: float) -> JobEvent | None:
        """See `JobExpiry.expire`."""
        _check_id(job)
        notice = JobEvent(job, EVENTS["EXPIRED"], now)
        values = {**STATES, ":now": number(now)}
        try:
            self._calls.end(notice, "EXPIRED", f"{FREE} AND deadline <= :now", values)
        except ConditionFailed:
            found = self.get(job)
            if expired(found, now) is not found:
                raise Transient("the job was changed concurrently") from None
            return None
        return notice


def _check_id(job: str) -> None:
    """Check an id from a URL or a message before it is used as a key."""
    if not _is_id(job):
        raise unknown(job)


def _is_id(job: str) -> bool:
    return "#" not in job and 0 < len(job) <= 64


def _key_id(owner: str, key: IdempotencyKey) -> str:
    return f"idem#{owner}#{key.digest}"


def _token(job: str, created: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([job, created]).encode()).decode()


def _position(token: str) -> Item:
    """Decode a page's `next` token to a position in the index by owner."""
    try:
        job, created = json.loads(base64.urlsafe_b64decode(token))
        return {"job": text(str(job)), "created": text(str(created))}
    except (ValueError, TypeError, binascii.Error):
        raise BadInput.of("next", "what a page gave as next", repr(token[:60])) from None
