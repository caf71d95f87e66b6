"""Shard checkpoints in the stream table: the key "mark#<stream>/<shard>", the part "-"."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, attributes
from quintet.errors import Transient
from quintet.streaming.checkpoints import Ahead, Checkpoint, furthest

__all__ = ["CheckpointTable"]

#: longer than any record needs a checkpoint: Lambda gives up on records after an hour
KEPT_SECONDS = 7 * 86_400
TRIES = 3


class CheckpointTable:
    """See `quintet.streaming.checkpoints.Checkpoints`."""

    def __init__(self, client: AwsClient, table: str, *, clock: Callable[[], float]) -> None:
        self._table = Table(client, table)
        self._clock = clock

    def read(self, shard: str) -> Checkpoint:
        """See `Checkpoints.read`."""
        item = self._table.item(_key(shard))
        if item is None:
            return Checkpoint()
        ahead = {
            chain: Ahead(found["M"]["key"]["S"], found["M"]["last"]["S"])
            for chain, found in item["ahead"]["M"].items()
        }
        return Checkpoint(item["done"]["S"], ahead)

    def advance(self, shard: str, checkpoint: Checkpoint, before: Checkpoint) -> None:
        """See `Checkpoints.advance`."""
        for _ in range(TRIES):
            if checkpoint.done <= before.done:
                return
            with suppress(ConditionFailed):
                self._put(shard, furthest(before, checkpoint), before)
                return
            before = self.read(shard)
        raise Transient("a shard's checkpoint changes too fast")

    def _put(self, shard: str, checkpoint: Checkpoint, before: Checkpoint) -> None:
        ahead = {
            chain: {"key": found.key, "last": found.last}
            for chain, found in checkpoint.ahead.items()
        }
        expires = int(self._clock()) + KEPT_SECONDS
        content = {"done": checkpoint.done, "ahead": ahead, "expires": expires}
        item = {**_key(shard), **attributes(content)}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(done)"}
        if before.done:
            condition = {
                "ConditionExpression": "done = :before",
                "ExpressionAttributeValues": attributes({":before": before.done}),
            }
        # a resent write conflicts with its own first attempt: the checkpoint is then read again
        self._table.call("PutItem", Item=item, **condition)


def _key(shard: str) -> dict[str, Any]:
    return attributes({"key": f"mark#{shard}", "part": "-"})
