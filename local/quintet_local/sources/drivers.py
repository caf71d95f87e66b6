"""Drivers: they run the event sources' decisions against the clock, queue and plane."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from quintet_local.faults import Faults
from quintet_local.plane import NotFound, Plane, Throttled, TooLarge
from quintet_local.sources import schedule, sqs
from quintet_local.stack import SourceMapping, Timer

__all__ = ["SqsDriver", "TimerDriver"]

log = logging.getLogger(__name__)


class SqsDriver:
    """Polls one queue for one function."""

    def __init__(
        self, plane: Plane, client: Any, queue_url: str, mapping: SourceMapping, faults: Faults
    ) -> None:
        self._plane = plane
        self._client = client
        self._url = queue_url
        self._arn = mapping.source_arn
        self._function = mapping.function
        self._faults = faults
        self._config = sqs.Config.of(mapping.properties)
        self._state = sqs.Gathering()
        self._free = asyncio.Event()
        # its own threads: a long poll would block all users of the shared ones
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="sqs")
        self._batches: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._state, action = sqs.decide(self._config, self._state, time.monotonic())
            if isinstance(action, sqs.Receive):
                messages = await self._receive(action)
                self._state = sqs.gathered(self._state, messages, time.monotonic())
            elif isinstance(action, sqs.Invoke):
                task = asyncio.create_task(self._handle(action.batch))
                self._batches.add(task)
                task.add_done_callback(self._batches.discard)
            else:
                self._free.clear()
                await self._free.wait()

    async def _receive(self, action: sqs.Receive) -> list[dict[str, Any]]:
        # a second delivery must not wait for a long poll to end
        longest = 1 if self._faults.on else sqs.LONG_POLL
        try:
            answer = await self._call(
                lambda: self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=action.count,
                    WaitTimeSeconds=min(longest, max(1, round(action.wait))),
                    AttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
            )
        except Exception:
            log.exception("queue %s: cannot receive", self._arn)
            await asyncio.sleep(1)
            return []
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        for message in messages:
            if (late := self._faults.late(self._arn.rsplit(":", maxsplit=1)[-1])) is not None:
                asyncio.get_running_loop().call_later(late, self._again, message)
        return messages

    def _again(self, message: dict[str, Any]) -> None:
        self._state = sqs.gathered(self._state, [message], time.monotonic())

    async def _handle(self, batch: tuple[sqs.Message, ...]) -> None:
        try:
            payload = json.dumps(sqs.event(batch, self._arn)).encode()
            outcome = await self._plane.invoke(self._function, payload)
            done = sqs.settled(self._config, batch, outcome.payload, outcome.error is not None)
            if done:
                await self._delete(done)
        except (NotFound, Throttled, TooLarge) as error:
            # not called: the messages become visible again after their visibility timeout
            log.warning("queue %s: %s", self._arn, error)
        except Exception:
            log.exception("queue %s: a batch could not be handled", self._arn)
        finally:
            self._state = sqs.handled(self._state)
            self._free.set()

    async def _delete(self, messages: tuple[sqs.Message, ...]) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages[start : start + 10])
            ]
            await self._call(
                partial(self._client.delete_message_batch, QueueUrl=self._url, Entries=entries)
            )

    async def _call(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


class TimerDriver:
    """Fires one schedule: sends its body to its target."""

    def __init__(self, timer: Timer, send: Callable[[str, str], None]) -> None:
        self._timer = timer
        self._send = send
        self._next = schedule.parse(timer.expression, ZoneInfo(timer.zone))

    async def run(self) -> None:
        """Wait and fire until cancelled, or until the schedule ends."""
        moment = self._next(datetime.now(UTC))
        while moment is not None:
            # a long sleep would miss a change of the machine's clock
            while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(min(left, 30))
            body = self._timer.body or json.dumps(schedule.event(self._timer.name, moment))
            if ":scheduler:" in self._timer.name:  # EventBridge rules fill in no context attributes
                body = schedule.filled(body, self._timer.name, moment)
            try:
                await asyncio.get_running_loop().run_in_executor(
                    None, self._send, self._timer.target_arn, body
                )
            except Exception:
                log.exception("schedule %s: cannot fire", self._timer.logical_id)
            moment = self._next(moment)
