"""The Lambda plane: functions, their pools of environments, and their invocations."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quintet_local.environment import (
    Environment,
    Invocation,
    LogSink,
    Outcome,
    State,
    error_outcome,
)
from quintet_local.faults import OFF, Faults
from quintet_local.functions import Function

__all__ = ["Limits", "NotFound", "Plane", "Throttled", "TooLarge"]

SYNC_BYTES = 6_291_456
RESPONSE_BYTES = 6_291_556
LIMIT_TEXT = f"{RESPONSE_BYTES} bytes"


class NotFound(Exception):
    """The function, version or alias does not exist."""


class Throttled(Exception):
    """The function's reserved concurrency is used up."""


class TooLarge(Exception):
    """The payload exceeds Lambda's limit."""


@dataclass(frozen=True)
class Limits:
    """The local AWS's own limits; Lambda's are in the template or in its documentation.

    `environments` is the maximum number that one version starts: further calls wait, whereas AWS
    would start more, because a laptop has few cores.
    """

    environments: int = max(4, os.cpu_count() or 1)
    init_seconds: float = 10.0
    idle_seconds: float = 600.0
    #: Lambda waits one and then two minutes before it retries an asynchronous call
    async_delays: tuple[float, ...] = (1.0, 2.0)
    poll_seconds: float = 0.25
    #: an account's concurrency; None: no limit
    executions: int | None = None


@dataclass
class Pool:
    """The environments of one version of a function, and the calls that wait for one."""

    plane: Plane
    function: Function
    version: str
    idle: list[Environment] = field(default_factory=list)
    all: set[Environment] = field(default_factory=set)
    waiting: deque[Invocation] = field(default_factory=deque)
    init_limit: float | None = None
    #: the folders of environments whose process crashed: Lambda starts the next process in the same
    #: environment and keeps its /tmp
    folders: list[Path] = field(default_factory=list)

    def submit(self, invocation: Invocation) -> None:
        if self.idle:
            self._run(self.idle.pop(), invocation)
        else:
            self.waiting.append(invocation)
            self.grow()

    def grow(self) -> None:
        """Start the environments that waiting calls and provisioned concurrency require."""
        if self.plane.stopping:
            return
        target = self.function.provisioned(self.version)
        while sum(e.provisioned for e in self.all) < target:
            self._start(provisioned=True)
        starting = sum(e.state is State.INIT for e in self.all)
        cap = max(self.plane.limits.environments, target)
        while starting < len(self.waiting) and len(self.all) < cap:
            self._start(provisioned=False)
            starting += 1

    def _start(self, *, provisioned: bool) -> None:
        limits = self.plane.limits
        limit = self.init_limit or limits.init_seconds
        folder = self.folders.pop() if self.folders else self.plane.new_folder()
        environment = Environment(
            self.function,
            self.version,
            provisioned=provisioned,
            init_limit=max(130.0, self.function.timeout) if provisioned else limit,
            folder=folder,
            owner=self,
            sink=self.plane.sink,
        )
        self.all.add(environment)
        self.plane.adopt(environment)

    def ready(self, environment: Environment) -> None:
        if self.waiting:
            self._run(environment, self.waiting.popleft())
        else:
            self.idle.append(environment)

    def gone(self, environment: Environment, init_error: bytes | None) -> None:
        self.all.discard(environment)
        self.plane.forget(environment)
        if environment.crashed and not self.plane.stopping:
            self.folders.append(environment.folder)
        else:
            shutil.rmtree(environment.folder, ignore_errors=True)
        if environment in self.idle:
            self.idle.remove(environment)
        if environment.init_timed_out and self.init_limit is None:
            # Lambda repeats init, now within the invocation and its timeout
            self.init_limit = self.function.timeout
        elif environment.init_timed_out and self.waiting:
            invocation = self.waiting.popleft()
            limit = f"{self.function.timeout:.2f} seconds"
            text = f"RequestId: {invocation.request_id} Error: Task timed out after {limit}"
            invocation.settle(error_outcome(self.version, "Sandbox.Timedout", text))
        elif init_error is not None and self.waiting:
            self.waiting.popleft().settle(Outcome(init_error, self.version, "Unhandled"))
        if init_error is None or self.waiting:
            self.grow()

    def _run(self, environment: Environment, invocation: Invocation) -> None:
        environment.run(invocation)
        after = self.plane.faults.kill(self.function.logical_id)
        if after is not None:
            asyncio.get_running_loop().call_later(after, self._kill, environment, invocation)

    def _kill(self, environment: Environment, invocation: Invocation) -> None:
        if environment.kill(invocation):
            self.plane.faults.count("kill")

    def reap(self, before: float) -> None:
        """End on-demand environments that have been idle since `before`."""
        for environment in list(self.idle):
            if environment.last_used < before and not environment.provisioned:
                self.idle.remove(environment)
                environment.stop()

    def check_memory(self) -> None:
        for environment in list(self.all):
            if environment.state in (State.BUSY, State.INIT):
                environment.check_memory()


class Plane:
    """Every function of the stack. All methods run on the plane's event loop."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        sink: LogSink,
        scratch: Path,
        limits: Limits | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.functions = functions
        self.sink = sink
        self.limits = limits or Limits()
        self.faults = faults or Faults(OFF)
        self.stopping = False
        self._scratch = scratch
        self._pools: dict[tuple[str, str], Pool] = {}
        self._environments: dict[str, Environment] = {}
        self._running: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runtime_api = ""
        self._common: Mapping[str, str] = {}
        #: failed calls by function, until they are taken for a metric
        self.errors: Counter[str] = Counter()

    def start(self, runtime_api: str, common: Mapping[str, str]) -> None:
        """Start: `runtime_api` is host:port, `common` goes into every function's environment."""
        self._runtime_api = runtime_api
        self._common = common
        self._keep(asyncio.create_task(self._housekeeping()))
        for function in self.functions.values():
            for version in function.versions:
                if function.provisioned(version):
                    self._pool(function, version).grow()

    async def stop(self) -> None:
        """End every environment."""
        self.stopping = True
        for environment in list(self._environments.values()):
            environment.stop()
        while self._environments:
            await asyncio.sleep(0.005)
        for pool in self._pools.values():
            for folder in pool.folders:
                shutil.rmtree(folder, ignore_errors=True)
        for task in list(self._tasks):
            task.cancel()

    def environment(self, environment_id: str) -> Environment | None:
        return self._environments.get(environment_id)

    def find(self, name: str, qualifier: str | None = None) -> tuple[Function, str | None]:
        """Return the function and qualifier for a name, a partial ARN or a full ARN.

        Raises:
            NotFound: the function does not exist.
        """
        parts = name.split(":")
        if "function" in parts:
            parts = parts[parts.index("function") + 1 :]
        elif len(parts) > 2:
            raise NotFound(name)
        function = self.functions.get(parts[0])
        if function is None:
            raise NotFound(name)
        return function, qualifier or (parts[1] if len(parts) > 1 else None)

    async def invoke(
        self,
        name: str,
        payload: bytes,
        qualifier: str | None = None,
        client_context: str | None = None,
    ) -> Outcome:
        """Call a function and wait for the outcome.

        Raises:
            NotFound, Throttled, TooLarge: the call was not made.
        """
        function, qualifier = self.find(name, qualifier)
        version = function.version(qualifier)
        if version is None:
            raise NotFound(f"{function.arn}:{qualifier}")
        if len(payload) > SYNC_BYTES:
            raise TooLarge(f"{len(payload)} bytes, at most {SYNC_BYTES}")
        running = self._running.get(function.name, 0)
        if self._free(function) <= 0:
            raise Throttled(function.name)
        arn = function.arn if qualifier is None else f"{function.arn}:{qualifier}"
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._running[function.name] = running + 1
        try:
            invocation = Invocation(payload, arn, done, client_context)
            self._pool(function, version).submit(invocation)
            outcome = await done
            if outcome.error is not None:
                self.errors[function.name] += 1
        finally:
            self._running[function.name] -= 1
        if len(outcome.payload) > RESPONSE_BYTES:
            text = f"Response payload size exceeded maximum allowed payload size ({LIMIT_TEXT})."
            tail = outcome.log_tail
            return error_outcome(version, "Function.ResponseSizeTooLarge", text, tail)
        return outcome

    def _free(self, function: Function) -> float:
        """Return how many more calls the function may take: of its reserve, or unreserved."""
        if function.reserved is not None:
            return function.reserved - self._running.get(function.name, 0)
        if self.limits.executions is None:
            return math.inf
        reserves = {f.name: f.reserved for f in self.functions.values() if f.reserved is not None}
        unreserved = sum(n for name, n in self._running.items() if name not in reserves)
        return self.limits.executions - sum(reserves.values()) - unreserved

    def status(self) -> dict[str, dict[str, int]]:
        """Environments by state, per function."""
        counts: dict[str, dict[str, int]] = {}
        for (name, _), pool in self._pools.items():
            of = counts.setdefault(name, {"init": 0, "idle": 0, "busy": 0, "waiting": 0})
            of["waiting"] += len(pool.waiting)
            for environment in pool.all:
                if environment.state.value in of:
                    of[environment.state.value] += 1
        return counts

    # called by pools

    def adopt(self, environment: Environment) -> None:
        self._environments[environment.id] = environment
        starting = environment.start(self._runtime_api, self._common)
        self._keep(asyncio.create_task(starting))

    def forget(self, environment: Environment) -> None:
        self._environments.pop(environment.id, None)

    def new_folder(self) -> Path:
        """A folder for an environment, not made yet."""
        return self._scratch / uuid.uuid4().hex

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pool(self, function: Function, version: str) -> Pool:
        key = (function.name, version)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self, function, version)
        return pool

    async def _housekeeping(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(self.limits.poll_seconds)
                before = time.monotonic() - self.limits.idle_seconds
                for pool in self._pools.values():
                    pool.check_memory()
                    pool.reap(before)
