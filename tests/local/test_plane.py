"""The Lambda plane in this process, where its bounds can be made small."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from quintet_local.calls import Ended, Retry, decide
from quintet_local.environment import LogSink
from quintet_local.functions import Alias, AsyncConfig, Function
from quintet_local.http1 import Response, serve
from quintet_local.logs import Logs
from quintet_local.plane import Limits, Plane
from quintet_local.runtime_api import RuntimeApi

CODE = """
import os, time
time.sleep(float(os.environ.get("INIT_SECONDS", "0")))
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return os.getpid()
"""


@asynccontextmanager
async def running(
    folder: Path, function: Function, limits: Limits, sink: LogSink = lambda *_: None
) -> AsyncIterator[Plane]:
    plane = Plane({function.name: function}, sink, folder / "scratch", limits)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = await serve(
        RuntimeApi(plane), listener, too_large=Response(413), max_body=16 * 1024 * 1024
    )
    plane.start(f"127.0.0.1:{listener.getsockname()[1]}", {})
    try:
        yield plane
    finally:
        server.close()
        await plane.stop()


def function(folder: Path, **given: Any) -> Function:
    code = folder / "code"
    code.mkdir()
    (code / "app.py").write_text(CODE)
    name = "arn:aws:lambda:us-east-1:123456789012:function:f"
    return Function("F", "f", name, "app.handler", code, **given)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_init_over_its_limit_is_begun_anew_within_the_time_out(tmp_path: Path) -> None:
    slow = function(tmp_path, timeout=0.6, environment={"INIT_SECONDS": "30"})

    async def test() -> None:
        async with running(tmp_path, slow, Limits(init_seconds=0.3)) as plane:
            outcome = await plane.invoke("f", b"{}")
            error = json.loads(outcome.payload)
            assert error["errorType"] == "Sandbox.Timedout"
            assert error["errorMessage"].endswith("Error: Task timed out after 0.60 seconds")

    run(test)


def test_init_over_its_limit_may_end_within_the_time_out(tmp_path: Path) -> None:
    slow = function(tmp_path, timeout=20, environment={"INIT_SECONDS": "0.6"})

    async def test() -> None:
        async with running(tmp_path, slow, Limits(init_seconds=0.3)) as plane:
            assert (await plane.invoke("f", b"{}")).error is None

    run(test)


def test_over_the_cap_calls_wait_for_an_environment(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path, function(tmp_path), Limits(environments=2)) as plane:
            event = b'{"seconds": 0.2}'
            outcomes = await asyncio.gather(*(plane.invoke("f", event) for _ in range(5)))
            assert len({outcome.payload for outcome in outcomes}) <= 2
            assert [outcome.error for outcome in outcomes] == [None] * 5

    run(test)


def test_an_environment_that_nobody_calls_ends(tmp_path: Path) -> None:
    limits = Limits(idle_seconds=0.1, poll_seconds=0.05)

    async def test() -> None:
        async with running(tmp_path, function(tmp_path), limits) as plane:
            pid = int((await plane.invoke("f", b"{}")).payload)
            while psutil.pid_exists(pid):
                await asyncio.sleep(0.02)

    run(test)


def test_provisioned_environments_stay_and_are_replaced(tmp_path: Path) -> None:
    limits = Limits(idle_seconds=0.1, poll_seconds=0.05)
    alias = Alias("live", "1", provisioned=1)
    warm = function(tmp_path, versions=("$LATEST", "1"), aliases={"live": alias})

    async def test() -> None:
        async with running(tmp_path, warm, limits) as plane:
            first = int((await plane.invoke("f", b"{}", "live")).payload)
            await asyncio.sleep(0.3)  # several times the idle limit
            assert int((await plane.invoke("f", b"{}", "live")).payload) == first
            os.kill(first, 9)
            # a call that comes before its end is known fails, as on AWS
            while not (answer := (await plane.invoke("f", b"{}", "live")).payload).isdigit():
                await asyncio.sleep(0.02)
            assert int(answer) != first
            while plane.status()["f"]["idle"] != 1:  # one more than is provisioned may have come
                await asyncio.sleep(0.02)

    run(test)


def test_a_crashed_environments_folder_is_kept_for_the_next_process(tmp_path: Path) -> None:
    """As Lambda keeps /tmp when it resets an environment; one that nobody calls is deleted."""
    limits = Limits(idle_seconds=0.3, poll_seconds=0.05)

    def folders() -> list[Path]:
        return [*(tmp_path / "scratch").iterdir()]

    async def test() -> None:
        async with running(tmp_path, function(tmp_path, timeout=0.2), limits) as plane:
            first = int((await plane.invoke("f", b"{}")).payload)
            before = folders()
            (before[0] / "kept").touch()
            late = json.loads((await plane.invoke("f", b'{"seconds": 9}')).payload)
            assert late["errorType"] == "Sandbox.Timedout"
            assert int((await plane.invoke("f", b"{}")).payload) != first
            assert folders() == before
            assert (before[0] / "kept").exists()
            while folders():
                await asyncio.sleep(0.02)

    run(test)


def test_stopping_leaves_no_child(tmp_path: Path) -> None:
    pids: list[int] = []

    async def test() -> None:
        async with running(tmp_path, function(tmp_path), Limits()) as plane:
            pids.append(int((await plane.invoke("f", b"{}")).payload))
        assert not psutil.pid_exists(pids[0])
        assert list((tmp_path / "scratch").iterdir()) == []

    run(test)


def test_a_start_that_fails_ends_its_call_and_the_next_call_starts_anew(tmp_path: Path) -> None:
    """On a full disk, say; an environment that never came must not count as one that starts."""

    async def test() -> None:
        async with running(tmp_path, function(tmp_path), Limits(environments=1)) as plane:
            scratch = tmp_path / "scratch"
            scratch.write_text("in the folder's place")
            for outcome in [await plane.invoke("f", b"{}") for _ in range(3)]:
                error = json.loads(outcome.payload)
                assert error["errorType"] == "Runtime.InvalidEntrypoint"
                assert error["errorMessage"].startswith("NotADirectoryError: ")
            assert plane.status()["f"] == {"init": 0, "idle": 0, "busy": 0, "waiting": 0}
            scratch.unlink()
            assert (await plane.invoke("f", b"{}")).error is None

    run(test)


def test_a_child_that_is_killed_as_it_starts_leaves_nothing_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pid: int) -> psutil.Process:
        os.kill(pid, 9)
        raise psutil.NoSuchProcess(pid)

    async def test() -> None:
        async with running(tmp_path, function(tmp_path), Limits(environments=1)) as plane:
            with monkeypatch.context() as patch:
                patch.setattr("quintet_local.environment.psutil.Process", gone)
                error = json.loads((await plane.invoke("f", b"{}")).payload)
            assert error["errorMessage"] == "Error: Runtime exited with error: signal: killed"
            assert (await plane.invoke("f", b"{}")).error is None

    run(test)


def test_a_log_that_cannot_be_written_ends_no_call(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs")
    (tmp_path / "logs/F.log").mkdir()  # no file can be opened there

    async def test() -> None:
        async with running(tmp_path, function(tmp_path), Limits(), logs) as plane:
            assert (await plane.invoke("f", b"{}")).error is None

    run(test)


DELAYS = (60.0, 120.0)


@pytest.mark.parametrize(
    ("attempts", "age", "failed", "expected"),
    [
        (1, 1, False, Ended("Success")),
        (1, 1, True, Retry(60)),
        (2, 61, True, Retry(120)),
        (3, 181, True, Ended("RetriesExhausted")),
        (2, 21_500, True, Ended("EventAgeExceeded")),
    ],
)
def test_an_asynchronous_call_is_tried_three_times(
    attempts: int, age: float, failed: bool, expected: Retry | Ended
) -> None:
    assert decide(AsyncConfig(), DELAYS, attempts, age, failed) == expected


def test_an_asynchronous_call_without_retries_ends_at_once() -> None:
    assert decide(AsyncConfig(retries=0), DELAYS, 1, 1, True) == Ended("RetriesExhausted")


@pytest.mark.parametrize(
    ("point", "version"),
    [(0.0, "2"), (0.099, "2"), (0.1, "3"), (0.29, "3"), (0.31, "1"), (0.99, "1")],
)
def test_an_alias_chooses_by_weight(point: float, version: str) -> None:
    assert Alias("live", "1", {"2": 0.1, "3": 0.2}).choose(point) == version
