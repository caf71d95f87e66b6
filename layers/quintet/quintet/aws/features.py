"""The feature store table: one item per entity, with a value and a timestamp for each feature.

The key is `entity`, "<entity key column>#<value>"; a feature's value is stored under its name, its
timestamp under `<name>@` (seconds since the epoch), and `expires` is the table's TTL attribute.
A value that `quintet features load` wrote also has `<name>@known`, when the table took it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import dynamodb_call, plain
from quintet.errors import Transient
from quintet.features import StoredValue

__all__ = [
    "EXPIRES",
    "KEY",
    "MAX_BYTES",
    "MAX_KEYS",
    "FeatureTable",
    "entity_key",
    "known_name",
    "moment_name",
    "projection",
    "read_items",
    "stored_values",
]

KEY = "entity"
EXPIRES = "expires"

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MAX_KEYS = 100
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_BYTES = 2048  # of a partition key
MAX_PROJECTED = 500  # attributes: an expression is limited to 4 KB
THREADS = 8  # per fetch, if it needs several reads
ATTEMPTS = 4
BACKOFF_SECONDS = 0.02  # the ceiling of the first wait for unprocessed keys; it doubles


def entity_key(column: str, entity: str) -> str:
    """The table's key of an entity."""
    return f"{column}#{entity}"


def moment_name(feature: str) -> str:
    """The name of the attribute that holds the timestamp of a feature's value."""
    return f"{feature}@"


def known_name(feature: str) -> str:
    """The name of the attribute that holds when the table took a feature's value."""
    return f"{feature}@known"


class FeatureTable:
    """A feature source over the table."""

    def __init__(
        self,
        client: AwsClient,
        table: str,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._sleep = sleep

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `quintet.features.FeatureSource.fetch`. Reads are eventually consistent."""
        keys = [entity_key(key, entity) for entity in dict.fromkeys(entities)]
        # an entity that is too long for a key cannot be stored
        keys = [key for key in keys if len(key) <= MAX_BYTES and len(key.encode()) <= MAX_BYTES]
        chunks = [keys[start : start + MAX_KEYS] for start in range(0, len(keys), MAX_KEYS)]
        read = partial(self._read, projection(tuple(names)))
        prefix = len(entity_key(key, ""))
        now = self._clock()
        found: dict[str, dict[str, StoredValue]] = {}
        for item in chain.from_iterable(_map(read, chunks)):
            if row := stored_values(item, names, now):
                found[item[KEY]["S"][prefix:]] = row
        return found

    def _read(self, projection: Mapping[str, Any], chunk: Sequence[str]) -> list[dict[str, Any]]:
        return read_items(self._client, self._table, chunk, projection, sleep=self._sleep)


def read_items(
    client: AwsClient,
    table: str,
    entities: Sequence[str],
    options: Mapping[str, Any],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """Read the items of at most MAX_KEYS keys; unprocessed keys are requested again.

    `options` are those of BatchGetItem: projection, consistency.

    Raises:
        Transient: the table could not be read.
    """
    keys: list[dict[str, Any]] = [{KEY: {"S": key}} for key in entities]
    items: list[dict[str, Any]] = []
    for attempt in range(ATTEMPTS):
        if attempt:
            import random  # not at a cold start

            sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))
        request = {"RequestItems": {table: {"Keys": keys, **options}}}
        answer = dynamodb_call(client, "BatchGetItem", request)
        items += answer["Responses"].get(table, [])
        left = answer.get("UnprocessedKeys", {}).get(table)
        if not left:
            return items
        keys = left["Keys"]
    raise Transient(f"the feature store left {len(keys)} keys unread")


def _map(
    read: Callable[[Sequence[str]], list[dict[str, Any]]], chunks: Sequence[Sequence[str]]
) -> Iterator[list[dict[str, Any]]]:
    """Read the chunks in parallel."""
    if len(chunks) < 2:
        yield from map(read, chunks)
        return
    from concurrent.futures import ThreadPoolExecutor  # lazy: keeps it out of the cold start

    with ThreadPoolExecutor(min(THREADS, len(chunks))) as pool:
        yield from pool.map(read, chunks)


@lru_cache(maxsize=64)
def projection(names: tuple[str, ...]) -> Mapping[str, Any]:
    """The options of a read for some features; without any, whole items are read."""
    wanted = [KEY, EXPIRES, *names, *map(moment_name, names), *map(known_name, names)]
    if len(wanted) > MAX_PROJECTED:
        return {}
    aliases = {f"#{position}": name for position, name in enumerate(wanted)}
    return {
        "ProjectionExpression": ", ".join(aliases),
        "ExpressionAttributeNames": aliases,
    }


def stored_values(
    item: Mapping[str, Any], names: Sequence[str], now: float
) -> dict[str, StoredValue]:
    """The features of an item that has not expired: TTL may delete days late."""
    if EXPIRES in item and float(item[EXPIRES]["N"]) <= now:
        return {}
    row = {}
    for name in names:
        value, moment = item.get(name), item.get(moment_name(name))
        if value is not None and moment is not None and "N" in moment:
            scalar = plain(value)
            if isinstance(scalar, str | bool | int | float):
                at, taken = float(moment["N"]), item.get(known_name(name))
                known = 0.0 if taken is None else float(taken["N"])
                # before its own moment: that of an older value, which another writer replaced
                row[name] = StoredValue(scalar, at, known if known >= at else 0.0)
    return row
