"""Serves a Podman's API until its standard input is closed, then removes all of that Podman.

The tests hold the other end of the pipe. It closes however they end, by SIGKILL too.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.sam_local.podman import READY, Podman

START_SECONDS = 60


def main(folder: Path) -> None:
    """Configure, serve, wait, remove."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pipe alone says when
    podman = Podman(folder)
    podman.configure()
    with (folder / "service.log").open("wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", podman.docker_host],
            env=podman.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        if answers(folder / "podman.sock", service):
            print(READY, flush=True)
            sys.stdin.read()
        else:
            print((folder / "service.log").read_text().replace("\n", "; "), flush=True)
    finally:
        service.terminate()
        service.wait(timeout=30)
        podman.remove()


def answers(path: Path, service: subprocess.Popen[bytes]) -> bool:
    """Whether the service takes connections before it ends or START_SECONDS are over."""
    deadline = time.monotonic() + START_SECONDS
    while service.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0:
                return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
