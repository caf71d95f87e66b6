"""Read candidates and stored features together: one BatchGetItem over their two tables.

The items are those of `quintet.aws.candidates` and `quintet.aws.features`. Reads are eventually
consistent: half a read unit for each 4 KB.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from quintet.aws.candidates import pointer_item_key, set_key
from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import Item, dynamodb_call
from quintet.aws.features import KEY, MAX_BYTES, entity_key, projection, stored_values
from quintet.aws.stocks import stock_from, stock_key
from quintet.batch.tables import pointer_key
from quintet.errors import Transient
from quintet.features import StoredValue
from quintet.recommend.reads import Shown, UserItems
from quintet.serving.breaker import CircuitBreaker

__all__ = ["RecommendationTables"]

#: of a read: what DynamoDB leaves unread is asked for once more
ATTEMPTS = 2


class RecommendationTables:
    """See `quintet.recommend.reads.Reads`; reads go through the feature store's circuit breaker.

    `clock` is in epoch seconds.
    """

    def __init__(
        self,
        client: AwsClient,
        candidates: str,
        features: str,
        breaker: CircuitBreaker,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._candidates = candidates
        self._features = features
        self._breaker = breaker
        self._clock = clock

    def shown(self, model: str) -> Shown | None:
        """See `Reads.shown`."""
        pointer, stock = pointer_item_key(pointer_key(model, None)), stock_key(model)
        found, left = self._read({self._candidates: {"Keys": [pointer, stock]}})
        if left:
            raise Transient("the candidates table left a pointer unread")
        items = {item["user"]["S"]: item for item in found[self._candidates]}
        held = items.get(pointer["user"]["S"])
        return None if held is None else _shown(held, items.get(stock["user"]["S"]))

    def user(self, model: str, run: str, user: str, key: str, names: Sequence[str]) -> UserItems:
        """See `Reads.user`."""
        wanted, asked = set_key(model, user, run), dict[str, Any]()
        if len(wanted["user"]["S"].encode()) <= MAX_BYTES:  # else it cannot be stored
            asked[self._candidates] = {"Keys": [wanted]}
        entity = entity_key(key, user)
        if names and len(entity.encode()) <= MAX_BYTES:
            keys = [{KEY: {"S": entity}}]
            asked[self._features] = {"Keys": keys, **projection(tuple(names))}
        found, left = self._read(asked) if asked else ({}, set[str]())
        if self._candidates in left:
            raise Transient("the candidates table left a user's candidates unread")
        now = self._clock()
        features: Mapping[str, StoredValue] | None = None
        if self._features not in left:
            rows = [stored_values(item, names, now) for item in found.get(self._features, ())]
            features = rows[0] if rows else {}
        for item in found.get(self._candidates, ()):
            if float(item["expires"]["N"]) > now:  # DynamoDB deletes late
                body = base64.b64decode(item["candidates"]["B"])
                return UserItems(body, item.get("segment", {}).get("S", ""), features)
        return UserItems(None, "", features)

    def _read(self, asked: Mapping[str, Any]) -> tuple[dict[str, list[Item]], set[str]]:
        """The items of each table, and the tables of which some were left unread."""
        return self._breaker.guard(lambda: self._batch(asked))

    def _batch(self, asked: Mapping[str, Any]) -> tuple[dict[str, list[Item]], set[str]]:
        found: dict[str, list[Item]] = {table: [] for table in asked}
        for _ in range(ATTEMPTS):
            answer = dynamodb_call(self._client, "BatchGetItem", {"RequestItems": asked})
            for table, items in answer["Responses"].items():
                found[table] += items
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                break
        return found, set(asked)


def _shown(held: Item, stock: Item | None) -> Shown:
    """The run of a pointer, with its popular items and those that are sold out."""
    pointer = orjson.loads(held["pointer"]["S"])
    popular = (pointer.get("candidates") or {}).get("popular") or {}
    sold_out, at = (None, 0.0) if stock is None else stock_from(stock)
    return Shown(
        pointer["run"],
        pointer["version"],
        datetime.fromisoformat(pointer["started"]).timestamp(),
        {segment: np.array(items, dtype=np.int64) for segment, items in popular.items()},
        sold_out,
        at,
    )
