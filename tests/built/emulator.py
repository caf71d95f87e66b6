"""AWS's Runtime Interface Emulator on this machine, with one built function and nothing else.

The function sees what it has in Lambda: its own folder, its layers, and what the runtime brings
(awslambdaric and boto3, in .venv-lambda). Neither the checkout nor an environment's packages are
on its path, and it runs in an empty folder. The emulator takes one call at a time.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kits.local_aws import ROOT

__all__ = ["ARCHITECTURE", "INVOKE", "Emulator", "emulated"]

#: this machine's, as Lambda calls it
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
START_SECONDS = 20
INVOKE = "/2015-03-31/functions/function/invocations"


@dataclass(frozen=True)
class Emulator:
    """One that runs, at a port; the function's process is a child of it."""

    pid: int
    port: int
    log: Path

    def invoke(self, event: Any) -> Any:
        """What the function answers; an error of it has `errorType`."""
        return json.loads(self.post(json.dumps(event).encode()))

    def post(self, payload: bytes) -> bytes:
        """The answer as it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", INVOKE, payload)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def emulated(
    handler: str, path: Sequence[Path], variables: Mapping[str, str], scratch: Path
) -> Iterator[Emulator]:
    """The emulator with a handler found on `path`, its task root first; it ends with the block.

    Raises:
        TimeoutError: it does not listen; the text is what it said.
    """
    ports = _free_ports(2)
    here = scratch / "elsewhere"
    here.mkdir(parents=True, exist_ok=True)
    log = scratch / "emulator.log"
    command = [str(_emulator()), "--log-level", "error"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{ports[0]}"]
    command += ["--runtime-api-address", f"127.0.0.1:{ports[1]}"]
    # neither site-packages (S) nor the current folder (P)
    command += [_python(), "-SP", "-m", "awslambdaric", handler]
    environ = {
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        **variables,
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(here),
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(path[0]),
        "PYTHONPATH": os.pathsep.join(map(str, [*path, _brought_along()])),
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=here, env=environ, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(ports[0], log)
        yield Emulator(process.pid, ports[0], log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _emulator() -> Path:
    """The program that comes with aws-sam-cli."""
    places = ".venv-sam/lib/python3*/site-packages/samcli/local/rapid"
    (found,) = ROOT.glob(f"{places}/aws-lambda-rie-{ARCHITECTURE}")
    return found


def _brought_along() -> Path:
    (found,) = ROOT.glob(".venv-lambda/lib/python3.13/site-packages")
    return found


def _python() -> str:
    found = shutil.which("python3.13")
    if found is None:
        raise FileNotFoundError("python3.13: not on PATH; built functions run by nothing else")
    # itself, not a link of an environment: that would have a path of its own
    asked = subprocess.run(
        [found, "-c", "import sys; print(sys._base_executable)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip()


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise TimeoutError(f"the emulator does not listen: {log.read_text(errors='replace')}")
