"""The driver of a stream: runs its lanes' decisions against the clock, stream and plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from quintet_local.faults import Faults
from quintet_local.names import ACCOUNT, PARTITION
from quintet_local.plane import NotFound, Plane, Throttled, TooLarge
from quintet_local.sources.kinesis import (
    Call,
    Discard,
    Finished,
    Lane,
    Record,
    answered,
    decide,
    gathered,
    lane_of,
    not_called,
    room,
)
from quintet_local.sources.kinesis_answers import Answer
from quintet_local.sources.kinesis_config import Config, Position, destination, stream_name
from quintet_local.sources.kinesis_events import Source, event, failure_key, failure_record
from quintet_local.sources.kinesis_metrics import Metrics
from quintet_local.sources.kinesis_shards import Shard, Shards, listed
from quintet_local.stack import SourceMapping
from quintet_local.targets import Targets

__all__ = ["KinesisDriver"]

log = logging.getLogger(__name__)
#: seconds between reads of a shard without new records, and after ten empty reads; Lambda reads
#: once a second
LOOK_SECONDS = 0.2
IDLE_SECONDS = 0.5
#: seconds between checks for new shards
LIST_SECONDS = 2.0
T = TypeVar("T")


class KinesisDriver:
    """Reads one stream for one function. All methods run on the plane's event loop."""

    def __init__(
        self,
        plane: Plane,
        client: Callable[[str], Any],
        mapping: SourceMapping,
        faults: Faults,
        targets: Targets,
    ) -> None:
        self.plane = plane
        self.faults = faults
        self.config = Config.of(mapping.properties)
        self.function = mapping.function
        self.stream = stream_name(mapping.properties)
        function, qualifier = plane.find(mapping.function)
        self.metrics = Metrics(mapping.id, function.name, mapping.properties)
        self.source = Source(
            mapping_id=mapping.id,
            stream_arn=mapping.source_arn,
            function_arn=function.arn + (f":{qualifier}" if qualifier else ""),
            role_arn=f"arn:{PARTITION}:iam::{ACCOUNT}:role/{function.name}",
            window=self.config.window,
        )
        self._on_failure = destination(mapping.properties)
        self._targets = targets
        self._kinesis = client("kinesis")
        self._cloudwatch = client("cloudwatch")
        # its own threads: a slow destination must not block the other sources
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="kinesis")
        self._shards = Shards(Position.of(mapping.properties))
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()

    async def start(self) -> None:
        """Find the shards and start reading, so that LATEST means from now on."""
        found = await self._call(self._list)
        shards, ready = listed(self._shards, found)
        iterators = {
            shard: await self._call(partial(self._iterator, shard, position))
            for shard, position in ready.items()
        }
        # a shard may have ended while the iterators were requested: its children wait for that
        self._shards = replace(shards, done=shards.done | self._shards.done)
        for shard, iterator in iterators.items():
            self._keep(self._shard(shard, iterator))

    async def run(self) -> None:
        """Check for new shards until cancelled."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), LIST_SECONDS)
                self._look.clear()
                try:
                    await self.start()
                    await self._put_metrics()
                except Exception:
                    log.exception("stream %s: cannot look for its shards", self.stream)
        finally:
            for task in self._tasks:
                task.cancel()

    async def read(self, iterator: str, limit: int) -> dict[str, Any]:
        """Return one response to GetRecords."""
        get = partial(self._kinesis.get_records, ShardIterator=iterator, Limit=limit)
        answer: dict[str, Any] = await self._call(get)
        return answer

    async def discard(self, shard: str, discard: Discard) -> None:
        """Notify the destination; a failed delivery is lost, as on AWS."""
        log.warning(
            "stream %s, %s: %d records given up (%s)",
            self.stream,
            shard,
            len(discard.records),
            discard.condition,
        )
        self.metrics.dropped(len(discard.records))
        target = self._on_failure
        if target is None:
            return
        now, full = time.time(), ":s3:" in target
        record = failure_record(self.source, shard, discard, now, full=full)
        body = json.dumps(record)
        if full:
            key = failure_key(self.source, shard, now, uuid.uuid4())
            send = partial(self._targets.store, target, key, body)
        else:
            send = partial(self._targets.send, target, body)
        try:
            await self._call(send)
            self.metrics.delivered(len(discard.records))
        except Exception:
            log.exception("stream %s: cannot send to %s", self.stream, target)

    async def _put_metrics(self) -> None:
        put = self._cloudwatch.put_metric_data
        if data := self.metrics.take():
            await self._call(partial(put, Namespace="AWS/Lambda", MetricData=data))

    async def _shard(self, shard: str, iterator: str) -> None:
        try:
            await _Reader(self, shard).run(iterator)
            self._shards = self._shards.finished(shard)
            self._look.set()
        except Exception:
            log.exception("stream %s: %s is read no more", self.stream, shard)

    def _list(self) -> list[Shard]:
        pages = self._kinesis.get_paginator("list_shards").paginate(StreamName=self.stream)
        return [Shard.of(found) for page in pages for found in page["Shards"]]

    def _iterator(self, shard: str, position: Position) -> str:
        given: dict[str, Any] = {"ShardIteratorType": position.kind}
        if position.kind == "AT_TIMESTAMP":
            given["Timestamp"] = datetime.fromtimestamp(position.timestamp, UTC)
        answer = self._kinesis.get_shard_iterator(StreamName=self.stream, ShardId=shard, **given)
        iterator: str = answer["ShardIterator"]
        return iterator

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


class _Reader:
    """One shard: a reader, and a worker for each of its lanes."""

    def __init__(self, driver: KinesisDriver, shard: str) -> None:
        self._driver = driver
        self._config = driver.config
        self._shard = shard
        self._lanes = [Lane() for _ in range(driver.config.parallel)]
        self._fed = [asyncio.Event() for _ in self._lanes]
        self._taken = asyncio.Event()

    async def run(self, iterator: str) -> None:
        """Read and process until the shard is finished."""
        tasks = [asyncio.create_task(self._work(number)) for number in range(len(self._lanes))]
        tasks.append(asyncio.create_task(self._read(iterator)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self, iterator: str | None) -> None:
        empty = 0
        while iterator is not None:
            free = min(room(self._config, lane) for lane in self._lanes)
            if not free:
                self._taken.clear()
                await self._taken.wait()
                continue
            began = time.time()
            try:
                answer = await self._driver.read(iterator, free)
            except Exception:
                log.exception("%s: cannot be read", self._shard)
                await asyncio.sleep(1)
                continue
            iterator = answer.get("NextShardIterator")
            behind = answer["MillisBehindLatest"] > 0
            records = tuple(map(_record, answer["Records"]))
            self._driver.metrics.polled(len(records))
            self._feed(records, 0.0 if behind else began, ended=iterator is None)
            empty = 0 if records else empty + 1
            if not behind and iterator is not None:
                await asyncio.sleep(LOOK_SECONDS if empty < 10 else IDLE_SECONDS)

    def _feed(self, records: tuple[Record, ...], read_to: float, ended: bool) -> None:
        now = time.time()
        parts: list[list[Record]] = [[] for _ in self._lanes]
        for record in records:
            parts[lane_of(self._config, record.partition_key)].append(record)
        for number, part in enumerate(parts):
            lane = self._lanes[number]
            self._lanes[number] = gathered(lane, tuple(part), now, read_to, ended)
            self._fed[number].set()

    async def _work(self, number: int) -> None:
        while True:
            self._fed[number].clear()
            now = time.time()
            self._lanes[number], action = decide(self._config, self._lanes[number], now)
            self._taken.set()
            if isinstance(action, Call):
                await self._call(number, action)
            elif isinstance(action, Discard):
                await self._driver.discard(self._shard, action)
            elif isinstance(action, Finished):
                return
            else:
                left = None if action.until is None else max(0.0, action.until - now)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._fed[number].wait(), left)

    async def _call(self, number: int, call: Call) -> None:
        answer = await self._invoke(call)
        now, lane = time.time(), self._lanes[number]
        if answer is None:
            self._lanes[number] = not_called(self._config, lane, call, now)
            return
        self._lanes[number] = after = answered(self._config, lane, call, answer, now)
        if call.records:
            done = _left(lane) - _left(after)
            failed, age = len(call.records) - done, now - call.records[-1].arrived
            self._driver.metrics.called(len(call.records), failed, age)

    async def _invoke(self, call: Call) -> Answer | None:
        """Return the function's response; None if it could not be called."""
        driver = self._driver
        body = event(driver.source, self._shard, call.records, call.window, call.final)
        payload = json.dumps(body).encode()
        fate = driver.faults.batch(f"{driver.stream}.{self._shard}")
        failed = Answer(b'{"errorMessage": "by the fault plan"}', error=True)
        if fate == "not_called":
            return failed
        try:
            if fate == "twice":
                await driver.plane.invoke(driver.function, payload)
            outcome = await driver.plane.invoke(driver.function, payload)
        except (NotFound, Throttled, TooLarge) as error:
            log.warning("stream %s, %s: %s", driver.stream, self._shard, error)
            return None
        if fate == "answer_lost":
            return failed
        return Answer(outcome.payload, outcome.error is not None, outcome.version)


def _left(lane: Lane) -> int:
    return sum(len(piece.records) for piece in lane.pieces)


def _record(found: dict[str, Any]) -> Record:
    arrived = found["ApproximateArrivalTimestamp"].timestamp()
    return Record(
        found["SequenceNumber"],
        found["PartitionKey"],
        found["Data"],
        # rounded up, it could fall into the next window, which is read after this one ends
        math.floor(arrived * 1000) / 1000,
    )
