"""Serve a console until a signal, or the end of its local AWS."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from types import FrameType

import uvicorn

from quintet_cli.console.app import console_of
from quintet_cli.console.beside import forget
from quintet_cli.console.guard import Access
from quintet_cli.local_process import runs
from quintet_cli.stage import Stage
from quintet_local.state import State

__all__ = ["serve"]

#: how often a console looks whether its local AWS still runs
WATCH_SECONDS = 2.0
#: how long requests under way may take once it is to end
GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """Ends at a signal, and does not raise it again."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End what is under way; at a second signal, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(stage: Stage, listening: socket.socket, token: str, state: Path | None = None) -> None:
    """Serve the console of a stage; with the `state` of a local AWS, until that ends."""
    app = console_of(stage, Access(listening.getsockname()[1], token))
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    if state is not None:
        threading.Thread(target=_end_with, args=(server, state), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        if state is not None:
            forget(state, os.getpid())


def _end_with(server: uvicorn.Server, state: Path) -> None:
    local, wait = State.read(state), threading.Event()
    while local is not None and State.read(state) == local and runs(local.pid):
        wait.wait(WATCH_SECONDS)
    server.should_exit = True
