"""The latest scores' table: one item for each entity of each model, its last prediction.

The key is `entity`, "<model>#<entity key>#<value>"; `outputs` is a map of the prediction's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, dynamodb_call
from quintet.streaming.latest import Latest

__all__ = ["LatestTable", "latest_key"]

THREADS = 16
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_KEY_BYTES = 2048
SEQUENCE_DIGITS = 56
#: DynamoDB's numbers are of this magnitude, and zero
MIN_VALUE, MAX_VALUE = 1e-130, 9.99e125
#: of numbers in an output of one row: an item takes 400 KB
MAX_NUMBERS = 4_096


def latest_key(model: str, entity_key: str, entity: str) -> str:
    """The table's key of an entity."""
    return f"{model}#{entity_key}#{entity}"


class LatestTable:
    """See `quintet.streaming.latest.LatestScores`; items live `kept_seconds` after the arrival."""

    def __init__(self, client: AwsClient, table: str, *, kept_seconds: float) -> None:
        self._client = client
        self._table = table
        self._kept_seconds = kept_seconds

    def put(self, found: Sequence[Latest]) -> int:
        """See `LatestScores.put`. An entity that is too long for a key is not stored."""
        stored = [one for one in found if len(_key(one).encode()) <= MAX_KEY_BYTES]
        if len(stored) < 2:
            return sum(map(self._put, stored))
        with ThreadPoolExecutor(min(THREADS, len(stored))) as pool:
            return sum(pool.map(self._put, stored))

    def get(self, model: str, entity_key: str, entity: str, now: float) -> Latest | None:
        """See `quintet.api.scores.ScoreReader`."""
        key = latest_key(model, entity_key, entity)
        if len(key.encode()) > MAX_KEY_BYTES:
            return None
        payload = {"TableName": self._table, "Key": {"entity": {"S": key}}, "ConsistentRead": True}
        item = dynamodb_call(self._client, "GetItem", payload).get("Item")
        if item is None or float(item["expires"]["N"]) <= now:  # what has expired is deleted late
            return None
        return Latest(
            model=model,
            entity_key=entity_key,
            entity=entity,
            outputs=_plain(item["outputs"]),
            version=int(item["version"]["N"]),
            arrived=float(item["arrived"]["N"]),
            sequence=item["sequence"]["S"],
            source=item["source"]["S"],
        )

    def _put(self, one: Latest) -> bool:
        arrived, sequence = {"N": repr(one.arrived)}, {"S": one.sequence.zfill(SEQUENCE_DIGITS)}
        item = {
            "entity": {"S": _key(one)},
            "outputs": _attribute(one.outputs),
            "version": {"N": str(one.version)},
            "arrived": arrived,
            "sequence": sequence,
            "source": {"S": one.source},
            "expires": {"N": str(int(one.arrived + self._kept_seconds))},
        }
        later = "arrived < :arrived OR (arrived = :arrived AND #sequence < :sequence)"
        payload = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": f"attribute_not_exists(entity) OR {later}",
            "ExpressionAttributeNames": {"#sequence": "sequence"},
            "ExpressionAttributeValues": {":arrived": arrived, ":sequence": sequence},
        }
        try:
            dynamodb_call(self._client, "PutItem", payload, idempotent=True)
        except ConditionFailed:  # a later one stands there, or this one
            return False
        return True


def _key(one: Latest) -> str:
    return latest_key(one.model, one.entity_key, one.entity)


def _attribute(value: Any) -> dict[str, Any]:
    """An output's value as DynamoDB writes it, null where it is too large."""
    size = len(value) if isinstance(value, Mapping | list) else np.size(value)
    if size > MAX_NUMBERS:
        return {"NULL": True}
    if isinstance(value, Mapping):
        return {"M": {name: _attribute(item) for name, item in value.items()}}
    if isinstance(value, np.ndarray | list):
        return {"L": [_attribute(item) for item in value]}
    return _scalar(value)


def _plain(attribute: Mapping[str, Any]) -> Any:
    """A value as DynamoDB writes it, as JSON has it."""
    ((kind, value),) = attribute.items()
    if kind == "M":
        return {name: _plain(item) for name, item in value.items()}
    if kind == "L":
        return [_plain(item) for item in value]
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return None if kind == "NULL" else value


def _scalar(value: Any) -> dict[str, Any]:
    """One value; a number that is out of DynamoDB's range becomes zero or a text."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool | np.bool_):
        return {"BOOL": bool(value)}
    if isinstance(value, str):
        return {"S": value}
    size = abs(float(value))
    if size < MIN_VALUE:
        return {"N": "0"}
    # str of a float32 0.1 is 0.1
    return {"N": str(value)} if size <= MAX_VALUE else {"S": str(value)}
