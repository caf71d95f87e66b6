"""Consoles as processes: where the one of a local AWS listens, and starting it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from quintet_cli.local_process import runs
from quintet_cli.stacks import StageError

__all__ = [
    "PORT",
    "forget",
    "listen",
    "new_token",
    "remember",
    "running_url",
    "start_beside",
    "url_of",
]

#: the default port: a free one is taken if another process has it
PORT = 4569
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
            f"port {port} is taken: {error.strerror}", command="quintet console --port 0"
        ) from error
    found.listen()
    return found


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


def url_of(listening: socket.socket, token: str) -> str:
    """The URL that lets a browser in."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"


def start_beside(state: Path) -> str:
    """Start the console of the local AWS of a state folder, which ends with it; its URL.

    One that runs already is left to. The URL works at once: what is sent waits for the console.
    """
    if url := running_url(state):
        return url
    token = new_token()
    with listen(PORT, or_any=True) as listening, (state / "console.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "quintet_cli.console", str(state), str(listening.fileno())],
            pass_fds=(listening.fileno(),),
            stdin=subprocess.PIPE,  # nobody sees the token among the arguments
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(token.encode())
        process.stdin.close()
        url = url_of(listening, token)
        remember(state, process.pid, url)
    return url


def running_url(state: Path) -> str | None:
    """The URL of the console that runs beside the local AWS of a state folder; None if none."""
    found = _read(state)
    return found[1] if found and runs(found[0]) else None


def remember(state: Path, pid: int, url: str) -> None:
    """Keep a console's URL, for the user alone."""
    path = state / _FILE
    partial = path.with_name(f"{_FILE}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": pid, "url": url}, file)
    partial.replace(path)


def forget(state: Path, pid: int) -> None:
    """Delete the URL of a console that ends, unless another has taken its place."""
    found = _read(state)
    if found and found[0] == pid:
        (state / _FILE).unlink(missing_ok=True)


def _read(state: Path) -> tuple[int, str] | None:
    try:
        found = json.loads((state / _FILE).read_text())
        return int(found["pid"]), str(found["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
