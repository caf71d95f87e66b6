"""The calls that a driver repeats while its stream is idle, made without HTTP.

By an API call each, the readers of an idle stack would keep a few percent of a core busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from quintet_local.names import ACCOUNT, REGION

__all__ = ["KinesisReads"]


class KinesisReads:
    """A boto3 client of Kinesis that reads records and lists shards from moto directly."""

    def __init__(self, client: Any) -> None:
        from moto.kinesis.models import kinesis_backends

        self._backend: Any = kinesis_backends[ACCOUNT][REGION]
        self.get_shard_iterator = client.get_shard_iterator

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:
        """Return a response to GetRecords."""
        following, found, behind = self._backend.get_records(None, ShardIterator, Limit)
        records = [
            {
                **record.to_json(),
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(record.created_at, UTC),
            }
            for record in found
        ]
        return {"NextShardIterator": following, "Records": records, "MillisBehindLatest": behind}

    def get_paginator(self, _: str) -> KinesisReads:
        """Return a paginator of ListShards, the only list that is read page by page."""
        return self

    def paginate(self, *, StreamName: str) -> Iterator[dict[str, Any]]:
        """Return the only page."""
        shards = list(self._backend.describe_stream(None, StreamName).shards.values())
        yield {"Shards": [shard.to_json() for shard in shards]}
