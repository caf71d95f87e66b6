"""DynamoDB's JSON protocol: calls, conditions, pages, and attribute values to and from Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import CONDITION_FAILED, cancellation_codes, error_name
from quintet.errors import QuintetError, Transient

__all__ = [
    "ConditionFailed",
    "Item",
    "Table",
    "attribute",
    "attributes",
    "dynamodb_call",
    "number",
    "plain",
    "text",
]

Item = dict[str, Any]

_READS = frozenset({"BatchGetItem", "DescribeTable", "GetItem", "Query", "Scan"})


class ConditionFailed(QuintetError):
    """The condition of a write did not hold.

    For a transaction, `writes` are the positions of the writes whose conditions failed.
    """

    def __init__(self, text: str, writes: Sequence[int] = ()) -> None:
        super().__init__(text)
        self.writes = tuple(writes)


def dynamodb_call(
    client: AwsClient, operation: str, payload: Mapping[str, Any], *, idempotent: bool | None = None
) -> dict[str, Any]:
    """Call a DynamoDB operation; reads are idempotent by default.

    Raises:
        ConditionFailed: the write's condition does not hold.
        Transient: DynamoDB could not be reached, or refused the call.
    """
    again = operation in _READS if idempotent is None else idempotent
    response = client.call(f"DynamoDB_20120810.{operation}", payload, idempotent=again)
    if response.status == 200:
        answer: dict[str, Any] = json.loads(response.body)
        return answer
    codes, kind = cancellation_codes(response), error_name(response)
    if CONDITION_FAILED in codes or kind == "ConditionalCheckFailedException":
        writes = [place for place, code in enumerate(codes) if code == CONDITION_FAILED]
        raise ConditionFailed(f"{operation}: the condition does not hold", writes)
    # the service's message may contain ARNs: pass on only the error's name
    raise Transient(f"dynamodb refused {operation} ({kind or f'status {response.status}'})")


class Table:
    """Calls to one table; each raises the same as `dynamodb_call`.

    Writes are retried unless `resend_writes` is False: their conditions must recognize a
    repeated write.
    """

    def __init__(self, client: AwsClient, name: str, *, resend_writes: bool = True) -> None:
        self.name = name
        self._client = client
        self._idempotent = True if resend_writes else None

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation on the table and return its response."""
        return self.send(operation, {"TableName": self.name, **arguments})

    def send(self, operation: str, payload: Item) -> dict[str, Any]:
        """Call an operation whose payload names its tables, and return its response."""
        return dynamodb_call(self._client, operation, payload, idempotent=self._idempotent)

    def item(self, key: Item, **options: Any) -> Item | None:
        """Read an item with strong consistency; None if it does not exist."""
        found: Item | None = self.call("GetItem", Key=key, ConsistentRead=True, **options).get(
            "Item"
        )
        return found

    def pages(self, operation: str, **arguments: Any) -> Iterator[Item]:
        """Yield the items of a Query or a Scan; pages are read as needed."""
        while True:
            answer = self.call(operation, **arguments)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def attribute(value: Any) -> Item:
    """Encode a value for DynamoDB: None, a bool, a string, a number, a list or a map of these.

    A float round-trips exactly; a numpy number is written in its printed form.
    """
    stored: Any = value
    match value:
        case None:
            kind, stored = "NULL", True
        case bool():
            kind = "BOOL"
        case str():
            kind = "S"
        case Mapping():
            kind, stored = "M", attributes(value)
        case list():
            kind, stored = "L", [attribute(item) for item in value]
        case _:
            kind, stored = "N", repr(float(value)) if isinstance(value, float) else str(value)
    return {kind: stored}


def attributes(values: Mapping[str, Any]) -> Item:
    """Encode an item, or a part of one, for DynamoDB."""
    return {name: attribute(value) for name, value in values.items()}


def plain(stored: Mapping[str, Any]) -> Any:
    """Decode an attribute to a JSON value; None also for types that `attribute` never writes."""
    ((kind, value),) = stored.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case "M":
            return {name: plain(item) for name, item in value.items()}
        case "L":
            return [plain(item) for item in value]
    return None


def text(value: str) -> Item:
    """A string attribute."""
    return {"S": value}


def number(value: float) -> Item:
    """A number attribute; a float round-trips exactly."""
    return {"N": repr(value)}
