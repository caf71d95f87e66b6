"""One execution environment: a child process that takes one invocation at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
import site
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Protocol

import psutil

from quintet_local.functions import Function
from quintet_local.permissions import access_key

__all__ = ["Environment", "EnvironmentOwner", "Invocation", "LogSink", "Outcome", "error_outcome"]

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
TAIL_BYTES = 4096
MIB = 1024 * 1024

#: receives finished log lines of one environment: function, stream, lines
LogSink = Callable[[Function, str, list[str]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an invocation; `error` is Lambda's X-Amz-Function-Error."""

    payload: bytes
    version: str
    error: str | None = None
    log_tail: bytes = b""


@dataclass(slots=True)
class Invocation:
    """One call on its way through an environment."""

    payload: bytes
    arn: str
    done: asyncio.Future[Outcome]
    client_context: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline_ms: int = 0
    started: float = 0.0

    def settle(self, outcome: Outcome) -> None:
        if not self.done.done():  # the caller may have left
            self.done.set_result(outcome)


class EnvironmentOwner(Protocol):
    """Receives an environment's events."""

    def ready(self, environment: Environment) -> None:
        """The environment can take an invocation."""

    def submit(self, invocation: Invocation) -> None:
        """The environment could not take this invocation; find another."""

    def gone(self, environment: Environment, init_error: bytes | None) -> None:
        """The process ended; `init_error` is the reason if it never became ready."""


class State(Enum):
    INIT = "init"
    IDLE = "idle"
    BUSY = "busy"
    GONE = "gone"


def error_outcome(version: str, kind: str, message: str, tail: bytes = b"") -> Outcome:
    """The outcome of a call that Lambda itself ended."""
    payload = json.dumps({"errorType": kind, "errorMessage": message}).encode()
    return Outcome(payload, version, "Unhandled", tail)


class Environment:
    """A child process with our bootstrap, seen from the server."""

    def __init__(
        self,
        function: Function,
        version: str,
        *,
        provisioned: bool,
        init_limit: float,
        folder: Path,
        owner: EnvironmentOwner,
        sink: LogSink,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.function = function
        self.version = version
        self.provisioned = provisioned
        self.state = State.INIT
        #: its HOME and TMPDIR; another environment's whose process ended, as Lambda reuses these
        self.folder = folder
        #: whether the process ended otherwise than by `stop`
        self.crashed = True
        self.last_used = time.monotonic()
        self.init_timed_out = False
        self.stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{self.id}"
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._sink = sink
        self._init_limit = init_limit
        self._init_ms: float | None = None
        self._usage: psutil.Process | None = None
        self._init_error: bytes | None = None
        self._peak = 0
        self._current: Invocation | None = None
        self._handed: Invocation | None = None
        self._asked: asyncio.Future[Invocation] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pipe = -1
        self._kill_reason: tuple[str, str] | None = None
        self._timed_out: Callable[[], None] | None = None
        self._log = b""
        self._tail = b""

    async def start(self, runtime_api: str, common: Mapping[str, str]) -> None:
        """Start the process; it reports by requesting its first invocation."""
        try:
            code = await self._run(runtime_api, common)
        except Exception as error:  # out of disk, file handles or processes
            self._signal()
            code = await self._process.wait() if self._process else 0
            self._init_error = _start_error(error)
        self._over(code)

    async def _run(self, runtime_api: str, common: Mapping[str, str]) -> int:
        """Start the process, wait for it to end, and return its exit code."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._pipe, write_end = os.pipe()
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._drain)
        self._born = time.monotonic()
        self._timer = self._loop.call_later(self._init_limit, self._init_too_long)
        try:
            self._emit([f"INIT_START Runtime Version: python:{platform.python_version()}"])
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-SP",
                str(BOOTSTRAP),
                env=self._variables(f"{runtime_api}/{self.id}", common),
                cwd=self.function.code,
                stdin=asyncio.subprocess.PIPE,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        with contextlib.suppress(psutil.Error):  # it may have ended already
            self._usage = psutil.Process(self._process.pid)
        if self.state is State.GONE:  # killed while starting
            self._signal()
        return await self._process.wait()

    def _variables(self, api: str, common: Mapping[str, str]) -> dict[str, str]:
        function = self.function
        kind = "provisioned-concurrency" if self.provisioned else "on-demand"
        return {
            **common,
            "AWS_ACCESS_KEY_ID": access_key(function.logical_id),
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "en_US.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONPATH": os.pathsep.join(_python_path(function)),
            "TZ": ":UTC",
            "TMPDIR": str(self.folder),
            "LAMBDA_TASK_ROOT": str(function.code),
            "LAMBDA_RUNTIME_DIR": str(BOOTSTRAP.parent),
            "_HANDLER": function.handler,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": kind,
            "AWS_LAMBDA_RUNTIME_API": api,
            **function.environment,
        }

    # called by the plane

    def run(self, invocation: Invocation) -> None:
        """Pass an invocation to the process; call only when it is ready."""
        self.state = State.BUSY
        self._current = invocation
        self._tail = b""
        invocation.started = time.monotonic()
        self._timer = self._loop.call_later(self.function.timeout, self._too_long)
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(self._begun(invocation))
        else:
            self._handed = invocation

    def check_memory(self) -> None:
        """Kill the process if it exceeds the function's memory."""
        self._measure()
        if self._peak > self.function.memory_mb * MIB and self._kill_reason is None:
            self._kill_reason = ("Runtime.ExitError", "Runtime exited with error: signal: killed")
            self._signal()

    def kill(self, invocation: Invocation) -> bool:
        """Kill the process during an invocation; False if the invocation is over."""
        if self._current is not invocation:
            return False
        self._signal()
        return True

    def stop(self) -> None:
        """Kill the process in any state."""
        self.crashed = False
        self.state = State.GONE
        self._signal()

    # called by the child, through the Runtime API

    async def next(self) -> Invocation:
        """Wait for an invocation; the first call reports that init is over."""
        if self.state is State.INIT:
            self._cancel_timer()
            self._init_ms = (time.monotonic() - self._born) * 1000
            self._become_idle()
        if self._handed is None:
            self._asked = self._loop.create_future()
            invocation = await self._asked
            self._asked = None
            return invocation
        invocation, self._handed = self._handed, None
        return self._begun(invocation)

    def respond(self, request_id: str, payload: bytes, error: str | None = None) -> bool:
        """Take the child's response; False if it belongs to no running call."""
        invocation = self._current
        if invocation is None or invocation.request_id != request_id:
            return False
        self._end(invocation)
        invocation.settle(Outcome(payload, self.version, error, self._tail))
        self._become_idle()
        return True

    def init_failed(self, payload: bytes) -> None:
        """Take the child's report that init failed."""
        self._init_error = payload

    # internal

    def _begun(self, invocation: Invocation) -> Invocation:
        invocation.deadline_ms = int((time.time() + self.function.timeout) * 1000)
        self._emit([f"START RequestId: {invocation.request_id} Version: {self.version}"])
        return invocation

    def _become_idle(self) -> None:
        self.state = State.IDLE
        self.last_used = time.monotonic()
        self._owner.ready(self)

    def _end(self, invocation: Invocation, note: str = "") -> None:
        self._cancel_timer()
        self._current = None
        lines = self._read()
        elapsed = (time.monotonic() - invocation.started) * 1000
        if not self._peak:  # no poll has seen this process yet
            self._measure()
        report = (
            f"REPORT RequestId: {invocation.request_id}\tDuration: {elapsed:.2f} ms\t"
            f"Billed Duration: {int(elapsed) + 1} ms\tMemory Size: {self.function.memory_mb} MB\t"
            f"Max Memory Used: {self._peak // MIB} MB\t"
        )
        if self._init_ms is not None and not self.provisioned:
            report += f"Init Duration: {self._init_ms:.2f} ms\t"
        self._init_ms = None
        self._emit([*lines, f"END RequestId: {invocation.request_id}", report + note])

    def _measure(self) -> None:
        if self._usage is not None:
            with contextlib.suppress(psutil.Error):  # it may just have ended
                self._peak = max(self._peak, self._usage.memory_info().rss)

    def _too_long(self) -> None:
        invocation = self._current
        if invocation is None:
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"
        text = f"Task timed out after {self.function.timeout:.2f} seconds"
        message = f"RequestId: {invocation.request_id} Error: {text}"
        self._drain()
        self._emit([f"{stamp} {invocation.request_id} {text}"])
        self._end(invocation, "Status: timeout")
        self.state = State.GONE
        self._signal()
        outcome = error_outcome(self.version, "Sandbox.Timedout", message, self._tail)
        self._timed_out = partial(invocation.settle, outcome)

    def _init_too_long(self) -> None:
        self.init_timed_out = True
        milliseconds = self._init_limit * 1000
        self._emit(
            [f"INIT_REPORT Init Duration: {milliseconds:.2f} ms\tPhase: init\tStatus: timeout"]
        )
        self._signal()

    def _over(self, code: int) -> None:
        """Handle the end of the process."""
        self._cancel_timer()
        if self._pipe >= 0:
            self._drain()
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
        if self._log:
            self._emit([self._log.decode("utf-8", "replace")])
            self._log = b""
        reason = self._kill_reason or ("Runtime.ExitError", f"Runtime exited with {_status(code)}")
        was_init = self.state is State.INIT
        self.state = State.GONE
        if self._handed is not None:
            # the process ended before it could take the call: another environment will
            self._current = None
            self._owner.submit(self._handed)
        elif invocation := self._current:
            message = f"RequestId: {invocation.request_id} Error: {reason[1]}"
            self._emit([message])
            self._end(invocation, f"Status: error\tError Type: {reason[0]}")
            invocation.settle(error_outcome(self.version, reason[0], message, self._tail))
        if was_init and self._init_error is None and not self.init_timed_out:
            text = {"errorType": reason[0], "errorMessage": f"Error: {reason[1]}"}
            self._init_error = json.dumps(text).encode()
        self._owner.gone(self, self._init_error if was_init else None)
        if self._timed_out is not None:  # not before the next call finds this environment's folder
            self._timed_out()

    def _signal(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drain(self) -> None:
        """Pass on the lines that the child has written so far."""
        if lines := self._read():
            self._emit(lines)

    def _read(self) -> list[str]:
        """The lines that the child has written since the last call."""
        while True:
            try:
                data = os.read(self._pipe, 65536)
            except (BlockingIOError, OSError):
                break
            if not data:
                self._loop.remove_reader(self._pipe)
                break
            self._log += data
        *lines, self._log = self._log.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def _emit(self, lines: list[str]) -> None:
        text = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
        self._tail = (self._tail + text)[-TAIL_BYTES:]
        self._sink(self.function, self.stream, lines)


def _start_error(error: Exception) -> bytes:
    kind, message = "Runtime.InvalidEntrypoint", f"{type(error).__name__}: {error}"
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _status(code: int) -> str:
    if code < 0:
        name = {-9: "killed", -11: "segmentation fault", -6: "aborted", -15: "terminated"}
        return f"error: signal: {name.get(code, str(-code))}"
    return "error: exit status " + str(code) if code else "out providing a reason"


def _python_path(function: Function) -> list[str]:
    """Return the search path: the function's folder, its layers, then the runtime's packages.

    A built layer has its packages under python/; an unbuilt layer's source folder is on the path
    itself, and its wheels come from the environment that runs the local AWS.
    """
    layers = [
        folder / "python" if (folder / "python").is_dir() else folder for folder in function.layers
    ]
    runtime = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return list(dict.fromkeys([str(function.code), *map(str, layers), *runtime, *user]))
