"""Asynchronous invocations: queued, retried, and sent to a destination when they end.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from quintet_local.environment import Outcome
from quintet_local.functions import AsyncConfig, Function
from quintet_local.plane import Plane, Throttled

__all__ = ["AsyncCalls", "Ended", "Retry", "decide"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """Retry after a number of seconds."""

    after: float


@dataclass(frozen=True)
class Ended:
    """No more attempts; `condition` is the value that destinations receive."""

    condition: str


def decide(
    config: AsyncConfig, delays: tuple[float, ...], attempts: int, age: float, failed: bool
) -> Retry | Ended:
    """Decide what to do after the last of `attempts`, `age` seconds after the call arrived."""
    if not failed:
        return Ended("Success")
    if attempts > config.retries:
        return Ended("RetriesExhausted")
    delay = delays[min(attempts, len(delays)) - 1]
    return Retry(delay) if age + delay <= config.max_age else Ended("EventAgeExceeded")


@dataclass(frozen=True)
class _Call:
    function: Function
    qualifier: str | None
    payload: bytes
    context: str | None
    request_id: str


class AsyncCalls:
    """Runs calls of type Event.

    `send` delivers a message to a destination's ARN; `store` puts an object into a bucket by ARN.
    """

    def __init__(
        self,
        plane: Plane,
        send: Callable[[str, str, dict[str, str]], Any],
        store: Callable[[str, str, str], Any],
        delays: tuple[float, ...],
    ) -> None:
        self._plane = plane
        self._send = send
        self._store = store
        self._delays = delays
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, name: str, payload: bytes, qualifier: str | None = None, context: str | None = None
    ) -> None:
        """Accept a call; runs on the plane's event loop.

        Raises:
            NotFound: the function does not exist.
        """
        function, qualifier = self._plane.find(name, qualifier)
        call = _Call(function, qualifier, payload, context, str(uuid.uuid4()))
        task = asyncio.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: _Call) -> None:
        config = call.function.asynchronous
        came = time.monotonic()
        attempts = 0
        while True:
            try:
                outcome = await self._plane.invoke(
                    call.function.name, call.payload, call.qualifier, call.context
                )
            except Throttled:
                await asyncio.sleep(self._delays[0])  # does not count as an attempt
                continue
            attempts += 1
            age = time.monotonic() - came
            step = decide(config, self._delays, attempts, age, outcome.error is not None)
            if isinstance(step, Retry):
                await asyncio.sleep(step.after)
                continue
            await self._settle(call, step.condition, attempts, outcome)
            return

    async def _settle(self, call: _Call, condition: str, attempts: int, outcome: Outcome) -> None:
        config = call.function.asynchronous
        succeeded = condition == "Success"
        sends: dict[str, Callable[[], Any]] = {}
        if target := config.on_success if succeeded else config.on_failure:
            record = json.dumps(_record(call, condition, attempts, outcome))
            if target.split(":")[2] == "s3":
                sends[target] = partial(self._store, target, _key(call.function.name), record)
            else:
                sends[target] = partial(self._send, target, record, {})
        if config.dead_letters and not succeeded:
            error = _json_or_text(outcome.payload)
            message = str(error.get("errorMessage", "")) if isinstance(error, dict) else ""
            attributes = {"RequestID": call.request_id, "ErrorCode": "200", "ErrorMessage": message}
            payload = call.payload.decode()
            sends[config.dead_letters] = partial(
                self._send, config.dead_letters, payload, attributes
            )
        for target, send in sends.items():
            try:
                await asyncio.get_running_loop().run_in_executor(None, send)
            except Exception:
                log.exception("%s: cannot send to %s", call.function.logical_id, target)


def _key(function: str) -> str:
    """The key of a record in a bucket.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    day, moment = time.strftime("%Y/%m/%d %Y-%m-%dT%H.%M.%S", time.gmtime()).split()
    return f"aws/lambda/async/{function}/{day}/{moment}-{uuid.uuid4()}"


def _record(call: _Call, condition: str, attempts: int, outcome: Outcome) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": outcome.version}
    if outcome.error is not None:
        response["functionError"] = outcome.error
    return {
        "version": "1.0",
        "timestamp": stamp,
        "requestContext": {
            "requestId": call.request_id,
            "functionArn": f"{call.function.arn}:{call.qualifier or '$LATEST'}",
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": _json_or_text(call.payload),
        "responseContext": response,
        "responsePayload": _json_or_text(outcome.payload),
    }


def _json_or_text(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
