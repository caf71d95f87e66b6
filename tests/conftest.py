"""What every test may use: the local AWS, started once for the session that asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[1]
START_SECONDS = 60

# as in the template's Globals; the models of the tests are small, threads only cost them
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"


class LocalAwsFailed(Exception):
    """It did not start; the text is what it said."""


@dataclass(frozen=True)
class LocalAws:
    """A local AWS in a process of its own."""

    endpoint_url: str
    api_url: str
    outputs: dict[str, str]
    state: Path
    process: subprocess.Popen[bytes]

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""
        return _client(self.endpoint_url, service)

    def logs(self, function: str) -> str:
        """What the function of that logical id has logged."""
        path = self.state / "logs" / f"{function}.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.process.terminate()
        self.process.wait(timeout=20)


@cache
def _client(endpoint_url: str, service: str) -> Any:
    make: Any = boto3.client  # its stubs know the service by literal names alone
    return make(
        service,
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}),
    )


def start_local_aws(
    state: Path,
    template: Path = ROOT / "template.yaml",
    parameters: dict[str, str] | None = None,
    options: tuple[str, ...] = ("--port", "0", "--api-port", "0"),
) -> LocalAws:
    """Start a local AWS on free ports and wait until it serves.

    Raises:
        LocalAwsFailed: it ended instead.
    """
    state.mkdir(parents=True, exist_ok=True)
    given = [f"--parameter={name}={value}" for name, value in (parameters or {}).items()]
    command = [sys.executable, "-m", "quintet_local", "--template", str(template)]
    with (state / "up.log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--state", str(state), *options, *given],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + START_SECONDS
    found = state / "local.json"
    while not _is_of(found, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise LocalAwsFailed((state / "up.log").read_text())
        time.sleep(0.02)
    told = json.loads(found.read_text())
    return LocalAws(told["endpoint_url"], told["api_url"], told["outputs"], state, process)


def _is_of(path: Path, pid: int) -> bool:
    """Whether the state file is there, and not an earlier process's."""
    return path.exists() and json.loads(path.read_text())["pid"] == pid


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The whole of template.yaml, served on free ports for the session."""
    local = start_local_aws(tmp_path_factory.mktemp("local-aws"))
    yield local
    local.stop()
