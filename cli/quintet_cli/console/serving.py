"""Serve a console on loopback, until a signal or the end of its local AWS."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from quintet_cli.console.app import console_of
from quintet_cli.console.guard import Access
from quintet_cli.stage import Stage, StageError
from quintet_local.state import State

__all__ = ["PORT", "listen", "running_url", "serve"]

PORT = 4568
#: how often a console looks whether its local AWS still runs
WATCH_SECONDS = 2.0
_FILE = "console.json"


def listen(port: int, *, or_any: bool = False) -> socket.socket:
    """A socket on loopback that listens at a port, 0 for a free one.

    Raises:
        StageError: the port is taken, unless another will do as well (`or_any`).
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
    except OSError as error:
        found.close()
        if or_any and port:
            return listen(0)
        raise StageError(
            f"port {port} is taken: {error.strerror}; `quintet console --port 0` takes a free one"
        ) from error
    found.listen()
    return found


def serve(
    stage: Stage, listening: socket.socket, state: Path | None, ready: Callable[[str], None]
) -> None:
    """Serve the console of a stage; `ready` gets its URL.

    With the `state` of a local AWS, its URL is kept there, and it ends with that local AWS.
    """
    access = Access(listening.getsockname()[1])
    app = console_of(stage, access)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    )
    local = State.read(state) if state else None
    if state and local:
        _write(state, access.url)
        threading.Thread(target=_end_with, args=(server, state, local), daemon=True).start()
    ready(access.url)
    try:
        server.run(sockets=[listening])
    finally:
        if state and _read(state) == (os.getpid(), access.url):
            (state / _FILE).unlink(missing_ok=True)


def running_url(state: Path) -> str | None:
    """The URL of the console that runs beside the local AWS of a state folder; None if none."""
    found = _read(state)
    if found is None:
        return None
    pid, url = found
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return url


def _end_with(server: uvicorn.Server, state: Path, local: State) -> None:
    while State.read(state) == local and local.health() is not None:
        threading.Event().wait(WATCH_SECONDS)
    server.should_exit = True


def _write(state: Path, url: str) -> None:
    path = state / _FILE
    partial = path.with_name(f"{_FILE}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), "url": url}, file)
    partial.replace(path)


def _read(state: Path) -> tuple[int, str] | None:
    try:
        found = json.loads((state / _FILE).read_text())
        return int(found["pid"]), str(found["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
