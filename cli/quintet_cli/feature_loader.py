"""Loads rows of features into the feature store's table; older values never replace newer ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from quintet.aws.dynamodb import attribute
from quintet.aws.features import KEY, entity_key, known_name, moment_name
from quintet.errors import Transient
from quintet_cli.feature_files import FeatureRow

__all__ = ["Change", "FeatureLoader", "changes", "merged"]

MAX_READ, MAX_WRITTEN = 100, 25  # items of BatchGetItem, BatchWriteItem
THREADS = 8
ROUNDS = 12
#: upper bound of the first wait for a table that throttles; it doubles up to the second value, with
#: full jitter: https://docs.aws.amazon.com/general/latest/gr/api-retries.html
FIRST_WAIT, LONGEST_WAIT = 0.05, 10.0


@dataclass(slots=True)
class Change:
    """New values of an entity with their times, by feature; `fresh` if it has no item yet."""

    entity: str
    values: dict[str, tuple[Any, float]] = field(default_factory=dict)
    fresh: bool = True


def merged(rows: Iterable[FeatureRow]) -> dict[str, Change]:
    """Merge rows by entity; for a repeated feature, the newest value wins."""
    found: dict[str, Change] = {}
    for row in rows:
        change = found.setdefault(row.entity, Change(row.entity))
        for name, value in row.values.items():
            if name not in change.values or change.values[name][1] <= row.at:
                change.values[name] = (value, row.at)
    return found


def changes(
    wanted: Iterable[Change], stored: Mapping[str, Mapping[str, float]]
) -> Iterator[Change]:
    """Return the changes newer than the stored times, which are by entity and feature."""
    for change in wanted:
        moments = stored.get(change.entity)
        values = {
            name: value
            for name, value in change.values.items()
            if moments is None or name not in moments or moments[name] < value[1]
        }
        if values:
            yield Change(change.entity, values, moments is None)


class FeatureLoader:
    """Writes to the table through boto3's client.

    A new entity is written by the faster BatchWriteItem; an existing item is updated on the
    condition that it holds nothing newer, so that a load in parallel with a stream of updates
    loses none of them. Each value is stored with `now`, when the table took it.
    """

    def __init__(
        self,
        dynamodb: Any,
        table: str,
        key: str,
        now: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dynamodb = dynamodb
        self._sleep = sleep
        self._table = table
        self._key = key
        self._known = attribute(now)

    def load(self, rows: Iterable[FeatureRow], progress: Callable[[int], None]) -> int:
        """Write what is newer than the stored values; return the number of changed entities."""
        wanted = merged(rows)
        written = 0
        with ThreadPoolExecutor(THREADS) as pool:
            for some in _chunks(list(wanted.values()), MAX_READ):
                todo = list(changes(some, self._moments(some)))
                fresh = [change for change in todo if change.fresh]
                list(pool.map(self._put, _chunks(fresh, MAX_WRITTEN)))
                updated = pool.map(self._update, [c for c in todo if not c.fresh])
                written += len(fresh) + sum(updated)
                progress(len(some))
        return written

    def _moments(self, some: Sequence[Change]) -> dict[str, dict[str, float]]:
        """Return the stored times, by entity and feature."""
        keys = [{KEY: {"S": entity_key(self._key, change.entity)}} for change in some]
        request: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
        found: dict[str, dict[str, float]] = {}
        prefix = len(entity_key(self._key, ""))
        for number in range(ROUNDS):
            self._wait(number)
            answer = self._dynamodb.batch_get_item(RequestItems=request)
            for item in answer["Responses"].get(self._table, []):
                found[item[KEY]["S"][prefix:]] = {
                    name[:-1]: float(value["N"])
                    for name, value in item.items()
                    if name.endswith("@") and "N" in value
                }
            request = answer.get("UnprocessedKeys") or {}
            if not request:
                return found
        raise Transient("the feature store leaves keys unread; try again later")

    def _put(self, some: Sequence[Change]) -> None:
        request = {self._table: [{"PutRequest": {"Item": self._item(c)}} for c in some]}
        for number in range(ROUNDS):
            self._wait(number)
            request = self._dynamodb.batch_write_item(RequestItems=request).get("UnprocessedItems")
            if not request:
                return
        raise Transient("the feature store leaves items unwritten; try again later")

    def _wait(self, number: int) -> None:
        """Wait before retrying what DynamoDB returned as unprocessed."""
        if number:
            ceiling = min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT)
            self._sleep(random.uniform(0, ceiling))

    def _item(self, change: Change) -> dict[str, Any]:
        item = {KEY: {"S": entity_key(self._key, change.entity)}}
        for name, (value, at) in change.values.items():
            item[name] = attribute(value)
            item[moment_name(name)] = attribute(at)
            item[known_name(name)] = self._known
        return item

    def _update(self, change: Change) -> bool:
        """Update one item, feature by feature if one of them is newer there by now."""
        if self._update_all(change):
            return True
        if len(change.values) == 1:
            return False
        ones = [Change(change.entity, {n: v}, False) for n, v in change.values.items()]
        return sum(map(self._update_all, ones)) > 0

    def _update_all(self, change: Change) -> bool:
        names: dict[str, str] = {}
        values: dict[str, Any] = {":known": self._known}
        sets, conditions = [], []
        for i, (name, (value, at)) in enumerate(change.values.items()):
            names |= {
                f"#v{i}": name,
                f"#m{i}": moment_name(name),
                f"#k{i}": known_name(name),
            }
            values |= {f":v{i}": attribute(value), f":m{i}": attribute(at)}
            sets.append(f"#v{i} = :v{i}, #m{i} = :m{i}, #k{i} = :known")
            conditions.append(f"(attribute_not_exists(#m{i}) OR #m{i} < :m{i})")
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={KEY: {"S": entity_key(self._key, change.entity)}},
                UpdateExpression=f"SET {', '.join(sets)}",
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _chunks(changes: Sequence[Change], size: int) -> list[Sequence[Change]]:
    return [changes[start : start + size] for start in range(0, len(changes), size)]
