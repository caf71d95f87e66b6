"""The Kinesis stream that receives replayed records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from quintet.aws.stream_sender import Sender
from quintet.replay.aws.errors import replay_errors
from quintet.replay.stream_objects import Entry

__all__ = ["KinesisStream"]

#: how long after `since` a record may have arrived, and the tolerated clock difference
REACH = timedelta(minutes=10)
SKEW = timedelta(seconds=5)
#: Kinesis allows five reads per second and shard
READ_SECONDS = 0.2


@dataclass(frozen=True)
class KinesisStream:
    """See `quintet.replay.stream_objects.EventStream`."""

    name: str
    kinesis: Any

    def put(self, entries: Sequence[Entry]) -> None:
        """See `EventStream.put`."""
        with replay_errors():
            for _ in Sender(self.kinesis, self.name).send(entries):
                pass

    def since(self, moment: float) -> Iterator[Entry]:
        """See `EventStream.since`; shard by shard."""
        begin = datetime.fromtimestamp(moment, UTC) - SKEW
        with replay_errors():
            pages = self.kinesis.get_paginator("list_shards").paginate(StreamName=self.name)
            for shard in [found["ShardId"] for page in pages for found in page["Shards"]]:
                yield from self._shard_since(shard, begin)

    def _shard_since(self, shard: str, begin: datetime) -> Iterator[Entry]:
        iterator = self.kinesis.get_shard_iterator(
            StreamName=self.name,
            ShardId=shard,
            ShardIteratorType="AT_TIMESTAMP",
            Timestamp=begin,
        )["ShardIterator"]
        while iterator:
            got = self.kinesis.get_records(ShardIterator=iterator)
            for record in got["Records"]:
                yield record["PartitionKey"], record["Data"]
            last = got["Records"][-1:]
            late = last and last[0]["ApproximateArrivalTimestamp"] > begin + REACH
            if late or not got.get("MillisBehindLatest"):
                return
            iterator = got.get("NextShardIterator")
            time.sleep(READ_SECONDS)
