"""The driver of a stream, where its steps overlap: on a stream whose answers the test times."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quintet_local.faults import OFF, Faults
from quintet_local.functions import Function
from quintet_local.plane import Plane
from quintet_local.sources.kinesis_driver import KinesisDriver
from quintet_local.stack import SourceMapping
from quintet_local.targets import Targets

PARENT = {"ShardId": "parent", "SequenceNumberRange": {"StartingSequenceNumber": "1"}}
CHILD = {
    "ShardId": "child",
    "ParentShardId": "parent",
    "SequenceNumberRange": {"StartingSequenceNumber": "2"},
}


class SplitStream:
    """A stream whose parent shard ends just while its shards are being listed."""

    def __init__(self) -> None:
        self.shards = [PARENT]
        self.closed = threading.Event()
        self.read: list[str] = []
        self.listed: Callable[[], None] = lambda: None

    def get_paginator(self, _: str) -> SplitStream:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        page = {"Shards": list(self.shards)}
        self.listed()
        return [page]

    def get_shard_iterator(self, *, ShardId: str, **_: str) -> dict[str, Any]:
        return {"ShardIterator": ShardId}

    def get_records(self, *, ShardIterator: str, **_: Any) -> dict[str, Any]:
        self.read.append(ShardIterator)
        following = None if self.closed.is_set() else ShardIterator
        return {"Records": [], "MillisBehindLatest": 0, "NextShardIterator": following}


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not happened():
            await asyncio.sleep(0.01)


def test_a_child_is_read_when_its_parent_ended_during_a_listing(tmp_path: Path) -> None:
    async def driven() -> None:
        stream = SplitStream()
        function = Function("Score", "score", "arn:aws:lambda:x:1:function:score", "a.b", tmp_path)
        arn = "arn:aws:kinesis:x:1:stream/s"
        plane = Plane({"score": function}, lambda *_: None, tmp_path)
        driver = KinesisDriver(
            plane,
            lambda _: stream,
            SourceMapping(
                "Source", "id", arn, "score", {"EventSourceArn": arn, "StartingPosition": "LATEST"}
            ),
            Faults(OFF),
            Targets(None, lambda *_: None),  # type: ignore[arg-type]
        )
        await driver.start()
        ended = threading.Event()

        def end_the_parent() -> None:
            stream.closed.set()
            ended.wait(30)

        stream.shards, stream.listed = [PARENT, CHILD], end_the_parent
        second = asyncio.create_task(driver.start())
        await until(lambda: driver._shards.done == {"parent"})
        ended.set()
        await second
        stream.listed = lambda: None
        await driver.start()
        await until(lambda: "child" in stream.read)

    asyncio.run(driven())
