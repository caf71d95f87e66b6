"""The table of latest scores: one item per entity and model, with its last prediction.

The key is `entity`, "<model>#<entity key>#<value>"; `outputs` maps output names to values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, attributes, plain
from quintet.streaming.latest import Latest

__all__ = ["LatestTable", "latest_key"]

THREADS = 16
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_KEY_BYTES = 2048
SEQUENCE_DIGITS = 56
#: the range of magnitudes of DynamoDB's numbers, besides zero
MIN_VALUE, MAX_VALUE = 1e-130, 9.99e125
#: numbers in one row's output: an item is limited to 400 KB
MAX_NUMBERS = 4_096


def latest_key(model: str, entity_key: str, entity: str) -> str:
    """The table's key of an entity."""
    return f"{model}#{entity_key}#{entity}"


class LatestTable:
    """See `quintet.streaming.latest.LatestScores`; items expire `kept_seconds` after arrival."""

    def __init__(self, client: AwsClient, table: str, *, kept_seconds: float) -> None:
        self._table = Table(client, table)
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
        item = self._table.item(attributes({"entity": key}))
        if item is None or float(item["expires"]["N"]) <= now:  # DynamoDB deletes late
            return None
        return Latest(
            model=model,
            entity_key=entity_key,
            entity=entity,
            outputs=plain(item["outputs"]),
            version=int(item["version"]["N"]),
            arrived=float(item["arrived"]["N"]),
            sequence=item["sequence"]["S"],
            source=item["source"]["S"],
        )

    def _put(self, one: Latest) -> bool:
        item = attributes(
            {
                "entity": _key(one),
                "outputs": _storable(one.outputs),
                "version": one.version,
                "arrived": one.arrived,
                "sequence": one.sequence.zfill(SEQUENCE_DIGITS),
                "source": one.source,
                "expires": int(one.arrived + self._kept_seconds),
            }
        )
        later = "arrived < :arrived OR (arrived = :arrived AND #sequence < :sequence)"
        try:
            self._table.call(
                "PutItem",
                Item=item,
                ConditionExpression=f"attribute_not_exists(entity) OR {later}",
                ExpressionAttributeNames={"#sequence": "sequence"},
                ExpressionAttributeValues={
                    f":{name}": item[name] for name in ("arrived", "sequence")
                },
            )
        except ConditionFailed:  # this or a later prediction is already stored
            return False
        return True


def _key(one: Latest) -> str:
    return latest_key(one.model, one.entity_key, one.entity)


def _storable(value: Any) -> Any:
    """Convert an output's value for the table; None if it is too large.

    A number outside DynamoDB's range becomes zero or a string, one that is not finite None.
    """
    size = len(value) if isinstance(value, Mapping | list) else np.size(value)
    if size > MAX_NUMBERS:
        return None
    if isinstance(value, Mapping):
        return {name: _storable(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | list):
        return [_storable(item) for item in value]
    if value is None or isinstance(value, bool | str | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    return _number(value)


def _number(value: Any) -> Any:
    magnitude = abs(float(value))
    if not math.isfinite(magnitude):
        return None
    if magnitude < MIN_VALUE:
        return 0
    # str() of float32 0.1 gives 0.1
    return value if magnitude <= MAX_VALUE else str(value)
