"""The store of rollouts in the registry table: the route's item, and one item for each change.

A change is one transaction: the route, if its revision is the one that was read; the change's own
item; and the check that each version that the route names still answers.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Item, Table, attributes, plain
from quintet.aws.registry import ROUTE, Registry, route_of, version_key
from quintet.rollouts.state import from_json, to_json
from quintet.rollouts.store import Cause, Change, Stored, named

__all__ = ["Rollouts"]

ANSWERS = "attribute_exists(seal) AND attribute_not_exists(withdrawn)"


class Rollouts:
    """See `quintet.rollouts.store.RolloutStore`."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._registry = Registry(client, table)
        self._table = Table(client, table)

    def read(self, model: str) -> Stored:
        """See `RolloutStore.read`."""
        items = self._registry.items(model)
        route = route_of(model, items)
        state, unsent = items[ROUTE].get("state"), items[ROUTE].get("unsent")
        rollout = from_json(state["S"]) if state else None
        return Stored(route, rollout, int(unsent["N"]) if unsent else 0)

    def write(self, change: Change) -> bool:
        """See `RolloutStore.write`."""
        state = {} if change.rollout is None else {"state": to_json(change.rollout).decode()}
        unsent = {"unsent": change.revision} if change.notice else {}
        route = _key(change.model, ROUTE) | attributes({**change.after, **state, **unsent})
        writes = [
            {"Put": {"TableName": self._table.name, "Item": route, **_unchanged(change)}},
            {"Put": {"TableName": self._table.name, "Item": _record(change) | attributes(state)}},
            *(self._answers(change.model, number) for number in sorted(named(change.after))),
        ]
        try:
            self._table.send("TransactWriteItems", {"TransactItems": writes})
        except ConditionFailed:
            # the response to an earlier attempt may have been lost
            found = self._table.item(_key(change.model, _change_key(change.revision)))
            return found is not None and _same(_change(found), change)
        return True

    def sent(self, model: str, revision: int) -> None:
        """See `RolloutStore.sent`."""
        with suppress(ConditionFailed):
            self._table.call(
                "UpdateItem",
                Key=_key(model, ROUTE),
                UpdateExpression="REMOVE unsent",
                ConditionExpression="unsent = :revision",
                ExpressionAttributeValues=attributes({":revision": revision}),
            )

    def history(self, model: str) -> list[Change]:
        """See `RolloutStore.history`."""
        query: Item = {
            "KeyConditionExpression": "#model = :model AND begins_with(#item, :change)",
            "ExpressionAttributeNames": {"#model": "model", "#item": "item"},
            "ExpressionAttributeValues": attributes({":model": model, ":change": "change#"}),
            "ConsistentRead": True,
        }
        return [_change(item) for item in self._table.pages("Query", **query)]

    def active(self) -> list[str]:
        """See `RolloutStore.active`."""
        scan: Item = {
            "ProjectionExpression": "#model",
            "FilterExpression": "#item = :route AND attribute_exists(rollout)",
            "ExpressionAttributeNames": {"#model": "model", "#item": "item"},
            "ExpressionAttributeValues": attributes({":route": ROUTE}),
            "ConsistentRead": True,
        }
        return sorted(item["model"]["S"] for item in self._table.pages("Scan", **scan))

    def _answers(self, model: str, number: int) -> Item:
        """The check that a version is completely published and was not withdrawn."""
        check = {"Key": _key(model, version_key(number)), "ConditionExpression": ANSWERS}
        return {"ConditionCheck": {"TableName": self._table.name, **check}}


def _unchanged(change: Change) -> Item:
    """The condition that the route is as the change read it."""
    if change.before is None:
        condition: Item = {"ConditionExpression": "attribute_not_exists(revision)"}
        return condition
    return {
        "ConditionExpression": "revision = :read",
        "ExpressionAttributeValues": attributes({":read": change.before["revision"]}),
    }


def _record(change: Change) -> Item:
    """The item of a change, without the rollout after it."""
    cause = change.cause
    record = {
        "event": change.event,
        "revision": change.revision,
        "at": cause.at,
        "by": cause.by,
        "reason": cause.reason,
        "evidence": orjson.dumps(cause.evidence).decode(),
        "after": change.after,
    }
    if change.before is not None:
        record["before"] = change.before
    return _key(change.model, _change_key(change.revision)) | attributes(record)


def _change(item: Item) -> Change:
    """The change of an item."""
    found: dict[str, Any] = {name: plain(value) for name, value in item.items()}
    return Change(
        model=found["model"],
        event=found["event"],
        cause=Cause(
            at=float(found["at"]),
            by=found["by"],
            reason=found["reason"],
            evidence=orjson.loads(found["evidence"]),
        ),
        before=found.get("before"),
        after=found["after"],
        rollout=from_json(found["state"]) if "state" in found else None,
    )


def _same(stored: Change, change: Change) -> bool:
    """Whether both are one change; no two have the same author, moment and outcome."""

    def key(one: Change) -> tuple[Any, ...]:
        return one.event, one.cause.by, one.cause.at, one.after

    return key(stored) == key(change)


def _key(model: str, item: str) -> Item:
    return attributes({"model": model, "item": item})


def _change_key(revision: int) -> str:
    return f"change#{revision:08d}"
