"""Windows in DynamoDB: closed parts in the stream table, their features in the feature store.

A window's feature is stored in its entity's item like any other: the value under the
aggregate's name, the window's end under `<name>@`. The attribute `window#<model>` holds the
`WindowFeatures` they derive from; only this module reads it, and every write is conditional on it:
shards may share an entity. Puts replace whole items and have no conditions in a batch, so many
entities are updated in transactions.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import (
    ConditionFailed,
    Item,
    Table,
    attribute,
    attributes,
    dynamodb_call,
    text,
)
from quintet.aws.features import (
    KEY,
    MAX_BYTES,
    MAX_KEYS,
    entity_key,
    moment_name,
    read_items,
)
from quintet.aws.window_items import index_key, part_items, parts_of, window_key
from quintet.contract import Scalar
from quintet.errors import Transient
from quintet.streaming.parts import Part, Window, summed
from quintet.streaming.window_features import WindowFeatures, WindowUpdate, updated, window_updates

__all__ = ["WindowTable", "window_attribute"]

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
MAX_PUTS = 25
THREADS = 16
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
MAX_UPDATES = 100
#: entities from which updates go together: a hundredth of the requests, for twice the write units
TOGETHER = 1000
ATTEMPTS = 8  # shards may close the same window at the same time, and share an entity
BACKOFF_SECONDS = 0.02  # the ceiling of the first wait; it doubles, with full jitter
#: characters of stored window features: an item is limited to 400 KB, with its other attributes
MAX_FEATURES_CHARACTERS = 200_000
#: the range of magnitudes of DynamoDB's numbers, besides zero
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_NUMBER, MIN_NUMBER = 9.9e125, 1e-130

#: the key of an entity's item, and the updates of a part for that entity
Change = tuple[str, Sequence[WindowUpdate]]
#: a change with the stored window features that it applies to
Found = tuple[Change, str | None]


def window_attribute(model: str) -> str:
    """The attribute that holds the window features of a model."""
    return f"window#{model}"


class WindowTable:
    """The window store on the tables, and its reader; see `quintet.streaming.windows`."""

    def __init__(
        self,
        client: AwsClient,
        table: str,
        features: str,
        *,
        retention_days: int = 7,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._features = features
        self._retention = retention_days * 86_400
        self._sleep = sleep

    # ---- closing ---------------------------------------------------------------------------

    def close(self, parts: Sequence[Part]) -> None:
        """See `WindowStore.close`."""
        items = {
            (item["key"]["S"], item["part"]["S"]): item
            for part in parts
            for item in part_items(part, self._retention)
        }
        # the first chunk is written last: it shows that the others exist
        chunks = [item for item in items.values() if "stream" not in item]
        heads = [item for item in items.values() if "stream" in item]
        changes: dict[str, list[Change]] = {}
        for (model, entity), found in window_updates(parts).items():
            key = entity_key(found[0].part.entity, entity)
            if len(key.encode()) <= MAX_BYTES:
                changes.setdefault(model, []).append((key, found))
        with ThreadPoolExecutor(THREADS) as pool:
            for some in (chunks, heads):
                _wait(pool.map(self._put, _slices(some, MAX_PUTS)))
            for model, mine in changes.items():
                gather = partial(self._gather, model)
                todo = list(chain.from_iterable(pool.map(gather, _slices(mine, MAX_KEYS))))
                if len(todo) < TOGETHER:
                    _wait(pool.map(partial(self._settle, model), todo))
                else:
                    together = partial(self._settle_together, model)
                    _wait(pool.map(together, _slices(todo, MAX_UPDATES)))

    def _put(self, items: Sequence[Item]) -> None:
        """Put items, unconditionally."""
        left: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        for attempt in range(ATTEMPTS):
            if attempt:
                self._wait(attempt)
            request = {"RequestItems": {self._table: left}}
            answer = dynamodb_call(self._client, "BatchWriteItem", request, idempotent=True)
            left = answer.get("UnprocessedItems", {}).get(self._table, [])
            if not left:
                return
        raise Transient(f"the stream table left {len(left)} items unwritten")

    def _gather(self, model: str, changes: Sequence[Change]) -> list[Found]:
        """Pair changes with the stored window features."""
        name = window_attribute(model)
        options = {
            "ConsistentRead": True,
            "ProjectionExpression": "#key, #window",
            "ExpressionAttributeNames": {"#key": KEY, "#window": name},
        }
        keys = [key for key, _ in changes]
        items = read_items(self._client, self._features, keys, options, sleep=self._sleep)
        stored = {item[KEY]["S"]: item[name]["S"] for item in items if name in item}
        return [(change, stored.get(change[0])) for change in changes]

    def _settle(self, model: str, found: Found) -> None:
        """Update one entity's item, and keep the parts of other writers."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._wait(attempt)
                (found,) = self._gather(model, [found[0]])
            update = self._update(model, found)
            if update is None:
                return
            with suppress(ConditionFailed):
                # a resent write is refused for its own first effect: the next read finds it
                dynamodb_call(self._client, "UpdateItem", update, idempotent=True)
                return
        raise Transient("too many concurrent writes to an entity's window features")

    def _settle_together(self, model: str, some: Sequence[Found]) -> None:
        """Update up to MAX_UPDATES entities' items in one transaction; each alone if it fails."""
        updates = [update for found in some if (update := self._update(model, found))]
        if not updates:
            return
        request = {"TransactItems": [{"Update": update} for update in updates]}
        try:
            dynamodb_call(self._client, "TransactWriteItems", request, idempotent=True)
        except (ConditionFailed, Transient):
            # another shard wrote one of them, or their items are too large together
            for found in self._gather(model, [change for change, _ in some]):
                self._settle(model, found)

    def _update(self, model: str, found: Found) -> dict[str, Any] | None:
        """The conditional update of one entity's item; None if it has all of the change."""
        (key, changes), stored = found
        before = features = None if stored is None else WindowFeatures.of(stored, {})
        for change in changes:
            features = updated(features, change) or features
        if features is None or features is before:
            return None
        content = features.text()
        if content == stored or len(content) > MAX_FEATURES_CHARACTERS:
            return None
        names = {"#window": window_attribute(model)}
        put = attributes({":window": content, ":end": features.end})
        sets = ["#window = :window"]
        for position, (feature, value) in enumerate(features.values.items()):
            names |= {f"#v{position}": feature, f"#m{position}": moment_name(feature)}
            put[f":v{position}"] = attribute(_stored_scalar(value))
            sets.append(f"#v{position} = :v{position}, #m{position} = :end")
        condition = "attribute_not_exists(#window)"
        if stored is not None:
            put[":stored"] = text(stored)
            condition = "#window = :stored"
        return {
            "TableName": self._features,
            "Key": attributes({KEY: key}),
            "UpdateExpression": f"SET {', '.join(sets)}",
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": put,
        }

    def _wait(self, attempt: int) -> None:
        self._sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))

    # ---- reading ---------------------------------------------------------------------------

    def read(self, model: str, start: float) -> Window | None:
        """Read a window, summed over its parts; None if it has no parts.

        Raises:
            Transient: the table could not be read.
        """
        items = self._query(window_key(model, start), ConsistentRead=True)
        return summed(model, start, parts_of(model, items))

    def recent(self, model: str, most: int = 20) -> list[float]:
        """Return the starts of a model's newest windows, newest first.

        Raises:
            Transient: the table could not be read.
        """
        items = self._query(index_key(model), ScanIndexForward=False, Limit=most)
        return [float(item["part"]["S"]) for item in islice(items, most)]

    def _query(self, key: str, **options: Any) -> Iterator[Item]:
        return Table(self._client, self._table).pages(
            "Query",
            KeyConditionExpression="#key = :key",
            ExpressionAttributeNames={"#key": "key"},
            ExpressionAttributeValues={":key": text(key)},
            **options,
        )


def _stored_scalar(value: Scalar) -> Scalar:
    """Convert a value for DynamoDB: numbers beyond its range are clamped to it."""
    if not isinstance(value, float):
        return value
    if abs(value) < MIN_NUMBER:
        return 0.0
    return max(-MAX_NUMBER, min(MAX_NUMBER, value))


def _slices(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _wait(results: Iterator[None]) -> None:
    """Wait for all results, and raise the first error."""
    for _ in results:
        pass
