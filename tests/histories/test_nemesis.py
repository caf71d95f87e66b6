"""When a server counts as killed, and what is left of it then."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tests.histories.history import Recorder
from tests.histories.nemesis import Nemesis
from tests.histories.stage import Stage, runs

#: a server with an environment that ends some time after it
ENVIRONMENT = "import os, sys, time; sys.stdin.read(); time.sleep(0.5)"
SERVER = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {ENVIRONMENT!r}], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    stage: Any = object.__new__(Stage)  # without a local AWS
    stage.state = stage._folder = tmp_path
    stage._killed = 0
    return stage


def test_a_kill_ends_with_the_last_environment(stage: Any) -> None:
    """What is still at work on the killed server's jobs may send webhooks."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdout
        environment = psutil.Process(int(server.stdout.readline()))
        (stage.state / "up.log").touch()
        stage.local = SimpleNamespace(process=server)
        stage.kill()
        assert not runs(environment)


def test_a_kill_is_noted_as_of_when_the_server_had_ended(tmp_path: Path) -> None:
    """Until then it answers: what was asked meanwhile is not the next server's answer."""
    ended: list[float] = []
    stage = SimpleNamespace(
        up=threading.Event(),
        disk=SimpleNamespace(missing=None),
        kill=lambda: ended.append(time.monotonic()),
        start=lambda: None,
        free=lambda: None,
        jump=lambda _: None,
    )
    recorder = Recorder(tmp_path / "history.jsonl")
    heart = SimpleNamespace(still=threading.Lock(), kept=lambda: 0.0)
    world: Any = SimpleNamespace(stage=stage, recorder=recorder, seed=1)
    Nemesis(world, heart).kill_server()  # type: ignore[arg-type]
    recorder.close()
    assert recorder.operations[0].began >= ended[0]
