"""The jobs table. Every write is one conditional call; only a refused one reads to say why.

Items: a job under its id, an idempotency key under idem#<owner>#<digest>, a notice under
outbox#<event>#<job>. DynamoDB deletes what is past `expires` late, so conditions say it, too.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from quintet.aws.client import AwsClient, ConditionFailed, dynamodb_call
from quintet.aws.job_items import (
    SHARDS,
    Item,
    job_item,
    job_of,
    moment,
    notice_id,
    notice_item,
    notice_of,
    number,
    outcome_attributes,
    summary_of,
    text,
)
from quintet.errors import BadInput, Transient
from quintet.jobs.job import (
    EVENTS,
    Job,
    Lease,
    Outcome,
    Settled,
    State,
    cancelled,
    expired,
    leased,
    released,
    renewed,
    settled,
    unknown,
)
from quintet.jobs.store import Key, KeyReused, Notice, Page

__all__ = ["JobTable"]

DAY = 86_400
_OPEN = "(#state = :accepted OR #state = :leased)"
_FREE = "(#state = :accepted OR (#state = :leased AND lease_until <= :now))"
_MINE = "#state = :leased AND lease_owner = :worker AND attempts = :fence AND lease_until > :now"
_STATES = {":accepted": text("ACCEPTED"), ":leased": text("LEASED")}


class JobTable:
    """Jobs in DynamoDB; see the ports in `quintet.jobs.store`. All of it raises Transient."""

    def __init__(self, client: AwsClient, table: str, *, retention_days: int) -> None:
        self._client = client
        self._table = table
        self._retention = retention_days * DAY

    # ---- acceptance ------------------------------------------------------------------------

    def accept(self, job: Job, key: Key | None = None) -> tuple[Job, Notice | None]:
        """See `Acceptance.accept`."""
        notice = Notice(job.id, EVENTS[job.state], job.updated)
        # a key is forgotten before its job is, or it would lead to nothing
        expires = job.created + self._retention
        puts = [self._put({**job_item(job), **_expiry(expires + DAY)}, "attribute_not_exists(job)")]
        puts.append(self._put({**notice_item(notice), **_expiry(expires)}))
        if key is not None:
            item = {
                "job": text(_key_id(job.owner, key)),
                "of": text(job.id),
                "payload": text(key.payload),
                **_expiry(expires),
            }
            condition = "attribute_not_exists(job) OR expires <= :now"
            puts.append(self._put(item, condition, {":now": number(job.created)}))
        try:
            self._transact(puts)
        except ConditionFailed:
            if key is None:  # the reply to the first try was lost
                return self.get(job.id), notice
            return self._earlier(job, key, notice)
        return job, notice

    def _earlier(self, job: Job, key: Key, notice: Notice) -> tuple[Job, Notice | None]:
        """The job that an idempotency key led to before."""
        found = self._read(_key_id(job.owner, key))
        if found is None:
            raise Transient("the idempotency key was forgotten just now")
        if found["payload"]["S"] != key.payload:
            raise KeyReused
        first = found["of"]["S"]
        return self.get(first), notice if first == job.id else None

    # ---- leases ----------------------------------------------------------------------------

    def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        """See `Leases.lease`."""
        _check_id(job)
        try:
            answer = self._update(
                job,
                "SET #state = :leased, lease_owner = :worker, lease_until = :until, "
                "updated = :now ADD attempts :one",
                f"{_FREE} AND deadline > :now",
                {
                    **_STATES,
                    ":worker": text(worker),
                    ":until": number(now + seconds),
                    ":now": number(now),
                    ":one": {"N": "1"},
                },
                returned="ALL_NEW",
            )
        except ConditionFailed:
            return self._refused_lease(job, worker, now, seconds)
        return job_of(answer["Attributes"])

    def _refused_lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
        found = self.get(job)
        try:
            again = leased(found, worker, now, seconds)
        except Settled as end:
            if end.job.state != found.state:
                self.expire(job, now)
            raise
        if again is found:  # the reply to the first try was lost
            return found
        raise Transient("the job changed just now")

    def renew(self, job: str, lease: Lease, now: float, seconds: float) -> Job:
        """See `Leases.renew`."""
        values = {**_mine(lease, now), ":until": number(now + seconds)}
        try:
            answer = self._update(
                job,
                "SET lease_until = :until, updated = :now",
                _MINE,
                values,
                returned="ALL_NEW",
            )
        except ConditionFailed:
            renewed(self.get(job), lease, now, seconds)
            raise Transient("the job changed just now") from None
        return job_of(answer["Attributes"])

    def release(self, job: str, lease: Lease, now: float) -> None:
        """See `Leases.release`."""
        values = {**_mine(lease, now), ":accepted": text("ACCEPTED")}
        try:
            self._update(job, "SET #state = :accepted, updated = :now", _MINE, values)
        except ConditionFailed:
            released(self.get(job), lease, now)
            raise Transient("the job changed just now") from None

    def settle(self, job: str, lease: Lease, outcome: Outcome, now: float) -> Notice:
        """See `Leases.settle`."""
        notice = Notice(job, EVENTS[outcome.state], now)
        try:
            self._end(notice, outcome.state, _MINE, _mine(lease, now), outcome_attributes(outcome))
        except ConditionFailed:
            found = self.get(job)
            end = settled(found, lease, outcome, now)
            if end is not found:
                raise Transient("the job changed just now") from None
            return Notice(job, EVENTS[end.state], end.updated)
        return notice

    # ---- the desk --------------------------------------------------------------------------

    def get(self, job: str, owner: str | None = None) -> Job:
        """See `Desk.get`."""
        _check_id(job)
        item = self._read(job)
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
    ) -> Page:
        """See `Desk.page`."""
        query: Item = {
            "IndexName": "by_owner",
            "KeyConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":owner": text(owner)},
            "ScanIndexForward": False,
            "Limit": most + 1,
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
        found = []
        for item in self._query(query):
            found.append(summary_of(item))
            if len(found) > most:
                break
        last = found[most - 1] if len(found) > most else None
        return Page(found[:most], _token(last.id, moment(last.created)) if last else None)

    def cancel(self, job: str, owner: str | None, now: float) -> tuple[Job, Notice | None]:
        """See `Desk.cancel`."""
        notice = Notice(job, EVENTS["CANCELLED"], now)
        values = {**_STATES, ":now": number(now)}
        condition = _OPEN
        if owner is not None:
            condition += " AND #owner = :owner"
            values[":owner"] = text(owner)
        _check_id(job)
        try:
            self._end(notice, "CANCELLED", condition, values)
        except ConditionFailed:
            found = self.get(job, owner)
            end = cancelled(found, now)
            if end is not found:
                raise Transient("the job changed just now") from None
            return found, None
        return self.get(job, owner), notice

    # ---- the outbox ------------------------------------------------------------------------

    def outbox(self, before: float, most: int = 100) -> list[Notice]:
        """See `Outbox.outbox`."""
        found = [notice_of(item) for item in self._due("notice", before, most)]
        return sorted(found, key=lambda notice: notice.at)[:most]

    def sent(self, notice: Notice) -> None:
        """See `Outbox.sent`."""
        key = {"job": text(notice_id(notice))}
        self._call("DeleteItem", {"TableName": self._table, "Key": key})

    def overdue(self, now: float, most: int = 100) -> list[str]:
        """See `Outbox.overdue`."""
        found = sorted(self._due("open", now, most), key=lambda item: str(item["due"]["S"]))
        return [item["job"]["S"] for item in found[:most]]

    def expire(self, job: str, now: float) -> Notice | None:
        """See `Outbox.expire`."""
        notice = Notice(job, EVENTS["EXPIRED"], now)
        values = {**_STATES, ":now": number(now)}
        try:
            self._end(notice, "EXPIRED", f"{_FREE} AND deadline <= :now", values)
        except ConditionFailed:
            found = self.get(job)
            if expired(found, now) is not found:
                raise Transient("the job changed just now") from None
            return None
        return notice

    def _due(self, kind: str, before: float, most: int) -> Iterator[Item]:
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
            for count, item in enumerate(self._query(query)):
                if count >= most:
                    break
                yield item

    # ---- calls -----------------------------------------------------------------------------

    def _end(
        self,
        notice: Notice,
        state: State,
        condition: str,
        values: Mapping[str, Any],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Bring a job to its end and write its notice, both or none."""
        more = attributes or {}
        sets = ["#state = :end", "updated = :now", *(f"#{name} = :{name}" for name in more)]
        names = {"#state": "state", **{f"#{name}": name for name in more}}
        if "#owner" in condition:
            names["#owner"] = "owner"
        update = {
            "TableName": self._table,
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
        announced = {**notice_item(notice), **_expiry(notice.at + self._retention)}
        self._transact([{"Update": update}, self._put(announced)])

    def _put(
        self, item: Item, condition: str | None = None, values: Item | None = None
    ) -> dict[str, Any]:
        put: Item = {"TableName": self._table, "Item": item}
        if condition is not None:
            put["ConditionExpression"] = condition
        if values is not None:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def _transact(self, writes: list[dict[str, Any]]) -> None:
        self._call("TransactWriteItems", {"TransactItems": writes})

    def _update(
        self,
        job: str,
        expression: str,
        condition: str,
        values: Item,
        returned: str = "NONE",
    ) -> dict[str, Any]:
        payload = {
            "TableName": self._table,
            "Key": {"job": text(job)},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": values,
            "ReturnValues": returned,
        }
        return self._call("UpdateItem", payload)

    def _call(self, operation: str, payload: Item) -> dict[str, Any]:
        """A call that may be sent again: the conditions tell a second time from the first."""
        return dynamodb_call(self._client, operation, payload, idempotent=True)

    def _read(self, key: str) -> Item | None:
        payload = {"TableName": self._table, "Key": {"job": text(key)}, "ConsistentRead": True}
        found: Item | None = self._call("GetItem", payload).get("Item")
        return found

    def _query(self, query: Item) -> Iterator[Item]:
        payload = {"TableName": self._table, **query}
        while True:
            answer = self._call("Query", payload)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            payload["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _check_id(job: str) -> None:
    """Some of what comes in URLs and messages is no key of a job."""
    if "#" in job or not 0 < len(job) <= 64:
        raise unknown(job)


def _mine(lease: Lease, now: float) -> Item:
    """The values of the condition `_MINE`."""
    return {
        ":leased": text("LEASED"),
        ":worker": text(lease.owner),
        ":fence": {"N": str(lease.fence)},
        ":now": number(now),
    }


def _expiry(at: float) -> Item:
    return {"expires": {"N": str(int(at))}}


def _key_id(owner: str, key: Key) -> str:
    return f"idem#{owner}#{key.digest}"


def _token(job: str, created: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([job, created]).encode()).decode()


def _position(token: str) -> Item:
    """A place in the index by owner, of a page's `next`."""
    try:
        job, created = json.loads(base64.urlsafe_b64decode(token))
        return {"job": text(str(job)), "created": text(str(created))}
    except (ValueError, TypeError, binascii.Error):
        raise BadInput.of("next", "what a page gave as next", repr(token[:60])) from None
