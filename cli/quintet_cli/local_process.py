"""The local AWS as a background process: start, stop, look up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from shlex import quote
from typing import Any

import psutil

from quintet_cli.stacks import AGAIN
from quintet_cli.stage import StageError
from quintet_local.failures import TRY
from quintet_local.state import FolderTaken, State, claim

__all__ = ["is_running", "runs", "start", "stop"]

START_SECONDS = 120
STOP_SECONDS = 15
ERROR = "error: "


def start(state: Path, options: list[str]) -> dict[str, Any]:
    """Start the local AWS in the background and wait until it responds; returns its health page.

    Raises:
        StageError: it did not start.
    """
    try:  # before overwriting the log of a running one
        os.close(claim(state))
    except FolderTaken as error:
        raise StageError(str(error), command=error.command) from error
    output = state / "up.log"
    command = [sys.executable, "-m", "quintet_local", "--state", str(state), *options]
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            found = _wait_for(process, state)
        except KeyboardInterrupt:
            process.kill()
            raise
    page = found.health() if found else None
    if page is None:
        process.kill()
        raise _failed(output)
    return page


def stop(found: State, folder: Path) -> None:
    """Stop the local AWS of a state folder: send SIGTERM, then kill it after some seconds."""
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while runs(found.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if runs(found.pid):
        os.kill(found.pid, signal.SIGKILL)  # its children end with it
        State.remove(folder)


def is_running(state: Path) -> bool:
    """Whether a local AWS responds for the state folder."""
    found = State.read(state)
    return found is not None and found.health() is not None


def _wait_for(process: subprocess.Popen[bytes], state: Path) -> State | None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = State.read(state)
        if found is not None and found.pid == process.pid:
            return found
        time.sleep(0.05)
    return None


def _failed(output: Path) -> StageError:
    """Return what a local AWS that did not start has said last."""
    lines = output.read_text(errors="replace").strip().splitlines()
    command = f"cat {quote(str(output))}"
    if lines and lines[-1].startswith(TRY):
        command = lines.pop().removeprefix(TRY)
    elif lines and lines[-1].startswith(ERROR):
        command = AGAIN
    why = lines[-1].removeprefix(ERROR) if lines else "it did not start"
    return StageError(why, command=command)


def runs(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
