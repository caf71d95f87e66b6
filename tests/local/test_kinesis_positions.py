"""Where the stream's event source begins to read, and the order in which it reads shards.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html (StartingPosition);
https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kits.local_aws import LocalAws
from tests.local.test_plane import running

from quintet_local.faults import OFF, Faults
from quintet_local.functions import Function
from quintet_local.plane import Limits
from quintet_local.sources.kinesis_driver import KinesisDriver
from quintet_local.stack import SourceMapping
from quintet_local.targets import Targets

CODE = """
import json, os
def handler(event, context):
    with open(os.environ["SEEN"], "a") as seen:
        print(json.dumps(event), file=seen)
"""
FIRST = "shardId-000000000000"


class Stream:
    """A stream of a test's own on the local AWS, and what its function gets of it."""

    def __init__(self, stack: LocalAws, folder: Path, shards: int = 1) -> None:
        self.client, self.name = stack.client, f"positions-{folder.name}"
        self.kinesis = stack.client("kinesis")
        self.kinesis.create_stream(StreamName=self.name, ShardCount=shards)
        self.folder = folder
        self.seen = folder / "seen.jsonl"
        self.seen.touch()

    def put(self, *data: str, key: str = "k") -> None:
        """Put records in order, each by itself."""
        for item in data:
            self.kinesis.put_record(StreamName=self.name, Data=item.encode(), PartitionKey=key)

    def got(self) -> list[str]:
        """What the function got, in order."""
        return [
            base64.b64decode(record["kinesis"]["data"]).decode()
            for line in self.seen.read_text().splitlines()
            for record in json.loads(line)["Records"]
        ]

    def arrivals(self) -> list[float]:
        """When the records of the first shard arrived."""
        given = {"ShardId": FIRST, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = self.kinesis.get_shard_iterator(StreamName=self.name, **given)["ShardIterator"]
        records = self.kinesis.get_records(ShardIterator=iterator)["Records"]
        return [record["ApproximateArrivalTimestamp"].timestamp() for record in records]

    @asynccontextmanager
    async def read(self, **position: Any) -> AsyncIterator[None]:
        """Have the function called with the stream, from a position on."""
        code = self.folder / "code"
        code.mkdir()
        (code / "app.py").write_text(CODE)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
        environment = {"SEEN": str(self.seen)}
        function = Function("F", "f", arn, "app.handler", code, environment=environment)
        source = f"arn:aws:kinesis:us-east-1:123456789012:stream/{self.name}"
        mapping = SourceMapping("M", "id", source, "f", {"EventSourceArn": source, **position})
        async with running(self.folder, function, Limits()) as plane:
            targets = Targets(None, lambda *_: None)  # type: ignore[arg-type]
            driver = KinesisDriver(plane, self.client, mapping, Faults(OFF), targets)
            await driver.start()
            running_on = asyncio.create_task(driver.run())
            try:
                yield
            finally:
                running_on.cancel()
                await asyncio.gather(running_on, return_exceptions=True)

    async def until(self, count: int) -> list[str]:
        """What the function got, once that is so many."""
        while len(found := self.got()) < count:
            await asyncio.sleep(0.05)
        return found


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_trim_horizon_begins_with_what_is_there(stack: LocalAws, tmp_path: Path) -> None:
    stream = Stream(stack, tmp_path)
    stream.put("a", "b")

    async def test() -> None:
        async with stream.read(StartingPosition="TRIM_HORIZON"):
            await stream.until(2)
            stream.put("c")
            assert await stream.until(3) == ["a", "b", "c"]

    run(test)


def test_latest_begins_with_what_comes_and_reads_later_shards_whole(
    stack: LocalAws, tmp_path: Path
) -> None:
    stream = Stream(stack, tmp_path)
    stream.put("before")

    async def test() -> None:
        async with stream.read(StartingPosition="LATEST"):
            stream.put("a", "b")
            half = {"NewStartingHashKey": str(2**127)}
            stream.kinesis.split_shard(StreamName=stream.name, ShardToSplit=FIRST, **half)
            stream.put("c", "d")  # the child has them before anybody knows of it
            assert await stream.until(4) == ["a", "b", "c", "d"]

    run(test)


def test_at_timestamp_begins_with_the_first_record_from_then_on(
    stack: LocalAws, tmp_path: Path
) -> None:
    stream = Stream(stack, tmp_path)
    stream.put("a", "b")
    moment = stream.arrivals()[-1] + 0.001
    while not stream.arrivals()[2:] or stream.arrivals()[-1] < moment:
        stream.put("c")
    expected = ["c" for at in stream.arrivals() if at >= moment]

    async def test() -> None:
        begin = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": moment}
        async with stream.read(**begin):
            stream.put("d")
            assert await stream.until(len(expected) + 1) == [*expected, "d"]

    run(test)


def test_after_a_merge_the_child_follows_both_parents(stack: LocalAws, tmp_path: Path) -> None:
    stream = Stream(stack, tmp_path, shards=2)
    keys = [f"k{n}" for n in range(6)]
    for number in range(10):
        for key in keys:
            stream.put(f"{key} {number}", key=key)
    shards = [
        shard["ShardId"] for shard in stream.kinesis.list_shards(StreamName=stream.name)["Shards"]
    ]
    merged = {"ShardToMerge": shards[0], "AdjacentShardToMerge": shards[1]}

    async def test() -> None:
        async with stream.read(StartingPosition="TRIM_HORIZON"):
            stream.kinesis.merge_shards(StreamName=stream.name, **merged)
            for number in range(10, 20):
                for key in keys:
                    stream.put(f"{key} {number}", key=key)
            found = await stream.until(120)
            assert len(found) == 120
            for key in keys:
                mine = [item for item in found if item.startswith(f"{key} ")]
                assert mine == [f"{key} {number}" for number in range(20)]

    run(test)
