"""The candidates table: an item for each model, user and run, and the models' pointers.

The key is `user`, "<model>#<user>", and `run`; `candidates` holds the packed set, `segment` the
user's segment if there is one, and `expires` is the table's TTL attribute. A pointer has its own
name as `user` and "-" as `run`.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, attributes
from quintet.batch.candidates import CandidateSet
from quintet.errors import Transient

__all__ = ["CandidatePointers", "CandidateTable", "pointer_item_key", "set_key"]

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
MAX_PUTS = 25
THREADS = 8
ATTEMPTS = 10  # a new on-demand table takes 4,000 write units a second, and doubles within minutes
BACKOFF_SECONDS = 0.05  # the ceiling of the first wait; it doubles, with full jitter


class CandidateTable:
    """See `quintet.batch.candidates.CandidateSets`."""

    def __init__(
        self, client: AwsClient, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table)
        self._sleep = sleep

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        """See `CandidateSets.put`."""
        puts = [{"PutRequest": {"Item": _item(model, run, one, expires)}} for one in sets]
        parts = [puts[start : start + MAX_PUTS] for start in range(0, len(puts), MAX_PUTS)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._put, parts))

    def get(self, model: str, run: str, user: str, now: float) -> CandidateSet | None:
        """See `CandidateSets.get`."""
        item = self._table.item(set_key(model, user, run))
        if item is None or float(item["expires"]["N"]) <= now:  # DynamoDB deletes late
            return None
        segment = item["segment"]["S"] if "segment" in item else ""
        return CandidateSet(user, base64.b64decode(item["candidates"]["B"]), segment)

    def _put(self, left: list[dict[str, Any]]) -> None:
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))
            answer = self._table.send("BatchWriteItem", {"RequestItems": {self._table.name: left}})
            left = answer.get("UnprocessedItems", {}).get(self._table.name, [])
            if not left:
                return
        raise Transient(f"the candidates table left {len(left)} items unwritten")


class CandidatePointers:
    """See `quintet.batch.tables.ConditionalObjects`; a pointer's tag is its content."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """See `ConditionalObjects.read`."""
        item = self._table.item(pointer_item_key(key))
        content = None if item is None else item["pointer"]["S"]
        return None if content is None else (content.encode(), content)

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ConditionalObjects.swap`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pointer)"}
        if tag is not None:
            condition = {
                "ConditionExpression": "pointer = :before",
                "ExpressionAttributeValues": attributes({":before": tag}),
            }
        item = {**pointer_item_key(key), **attributes({"pointer": body.decode()})}
        try:
            self._table.call("PutItem", Item=item, **condition)
        except ConditionFailed:
            # a call that was sent again conflicts with its own first attempt
            found = self.read(key)
            return found is not None and found[0] == body
        return True


def set_key(model: str, user: str, run: str) -> dict[str, Any]:
    """The key of a user's set in a run."""
    return attributes({"user": f"{model}#{user}", "run": run})


def pointer_item_key(key: str) -> dict[str, Any]:
    """The key of a pointer, from that of its object."""
    return attributes({"user": key, "run": "-"})


def _item(model: str, run: str, one: CandidateSet, expires: int) -> dict[str, Any]:
    segment = {"segment": one.segment} if one.segment else {}
    content = {"candidates": {"B": base64.b64encode(one.body).decode()}}
    rest = attributes({**segment, "expires": expires})
    return {**set_key(model, one.user, run), **content, **rest}
