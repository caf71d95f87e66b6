"""The calls that the jobs table takes, in DynamoDB's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import dynamodb_call
from quintet.aws.job_items import SHARDS, Item, moment, notice_item, text
from quintet.errors import Transient
from quintet.jobs.job import State
from quintet.jobs.store import JobEvent

__all__ = ["JobCalls", "expiry"]


class JobCalls:
    """Calls to one table. Each may be sent again: its condition tells a second time from the first.

    All of them raise Transient; those with a condition that does not hold, ConditionFailed.
    """

    def __init__(self, client: AwsClient, table: str, retention: float) -> None:
        self._client = client
        self._table = table
        self._retention = retention

    def due(self, kind: str, before: float, most: int) -> Iterator[Item]:
        """The keys of `notice` or `open` items due before a moment, up to `most` of each shard."""
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
            for count, item in enumerate(self.query(query)):
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
        """Bring a job to its end and write its notice, both or none; no notice if not `notify`."""
        update, *puts = self.ending(notice, state, condition, values, attributes, notify=notify)
        if puts:
            self.transact([update, *puts])
        else:
            self._call("UpdateItem", update["Update"])

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
        """The writes of `end`, the job's own first, for `transact`."""
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
        announced = {**notice_item(notice), **expiry(notice.at + self._retention)}
        return [{"Update": update}, *([self.put(announced)] if notify else [])]

    def put(
        self, item: Item, condition: str | None = None, values: Item | None = None
    ) -> dict[str, Any]:
        """The write of an item, for `transact`."""
        put: Item = {"TableName": self._table, "Item": item}
        if condition is not None:
            put["ConditionExpression"] = condition
        if values is not None:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def transact(self, writes: list[dict[str, Any]]) -> None:
        """Several writes, all or none."""
        self._call("TransactWriteItems", {"TransactItems": writes})

    def update(
        self,
        job: str,
        expression: str,
        condition: str,
        values: Item,
        returned: str = "NONE",
    ) -> dict[str, Any]:
        """Change a job's item where the condition holds."""
        payload = {**self.change(job, expression, condition, values), "ReturnValues": returned}
        return self._call("UpdateItem", payload)

    def change(self, job: str, expression: str, condition: str, values: Item) -> dict[str, Any]:
        """What `update` asks for, for `transact`."""
        return {
            "TableName": self._table,
            "Key": {"job": text(job)},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": values,
        }

    def delete(self, key: str) -> None:
        """Delete an item; again does no harm."""
        self._call("DeleteItem", {"TableName": self._table, "Key": {"job": text(key)}})

    def read(self, key: str) -> Item | None:
        """An item as it is stored now."""
        payload = {"TableName": self._table, "Key": {"job": text(key)}, "ConsistentRead": True}
        found: Item | None = self._call("GetItem", payload).get("Item")
        return found

    def read_many(self, keys: Sequence[str]) -> list[Item]:
        """Up to 100 items as they are stored now; what does not fit into one answer is left out."""
        wanted = {"Keys": [{"job": text(key)} for key in keys], "ConsistentRead": True}
        answer = self._call("BatchGetItem", {"RequestItems": {self._table: wanted}})
        found: list[Item] = answer["Responses"].get(self._table, [])
        return found

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete up to 25 items. Raises Transient also where some of them are left."""
        deletes = [{"DeleteRequest": {"Key": {"job": text(key)}}} for key in keys]
        answer = self._call("BatchWriteItem", {"RequestItems": {self._table: deletes}})
        if answer.get("UnprocessedItems"):
            raise Transient("dynamodb left some items undeleted")

    def query(self, query: Item) -> Iterator[Item]:
        """What a query finds, read page by page as it is taken."""
        payload = {"TableName": self._table, **query}
        while True:
            answer = self._call("Query", payload)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            payload["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _call(self, operation: str, payload: Item) -> dict[str, Any]:
        return dynamodb_call(self._client, operation, payload, idempotent=True)


def expiry(at: float) -> Item:
    """When DynamoDB may delete an item."""
    return {"expires": {"N": str(int(at))}}
