"""A local AWS in a process of its own, for tests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from tests.kits.privileges import refused
from tests.kits.registries import registry_at

from quintet_publish.aws_registry import AwsRegistry

__all__ = ["FREE_PORTS", "ROOT", "LocalAws", "LocalAwsFailed", "eventually", "start_local_aws"]

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
FREE_PORTS = ("--port", "0", "--api-port", "0")

T = TypeVar("T")


class LocalAwsFailed(Exception):
    """It did not start; the text is what it said."""


@dataclass(frozen=True)
class LocalAws:
    """One that runs."""

    endpoint_url: str
    api_url: str
    outputs: dict[str, str]
    state: Path
    process: subprocess.Popen[bytes]
    #: whether it serves template.yaml
    checked: bool

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""
        return _client(self.endpoint_url, service)

    def client_at(self, service: str, url: str) -> Any:
        """A boto3 client of a service at another address, such as our API."""
        return _client(url, service)

    @property
    def registry(self) -> AwsRegistry:
        """Its registry of models."""
        return registry_at(
            self.client("s3"),
            self.client("dynamodb"),
            bucket=self.outputs["RegistryBucketName"],
            table=self.outputs["RegistryTableName"],
        )

    def logs(self, function: str) -> str:
        """What the function of that logical id has logged."""
        path = self.state / "logs" / f"{function}.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """End it as Ctrl-C would.

        Raises:
            AssertionError: a function of the template called what its role does not allow.
        """
        called = refused(self.endpoint_url)
        self.process.terminate()
        self.process.wait(timeout=30)
        assert not (self.checked and called), called


@cache
def _client(endpoint_url: str, service: str) -> Any:
    make: Any = boto3.client  # its stubs know the service by literal names alone
    return make(
        service,
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, max_pool_connections=50),
    )


def start_local_aws(
    state: Path,
    template: Path = ROOT / "template.yaml",
    parameters: Mapping[str, str] | None = None,
    options: tuple[str, ...] = FREE_PORTS,
    through: tuple[str, ...] = (),
    *,
    seconds: float = START_SECONDS,
) -> LocalAws:
    """Start a local AWS, on free ports unless told otherwise, and wait until it serves.

    `through` is a command that becomes it.

    Raises:
        LocalAwsFailed: it ended instead.
    """
    state.mkdir(parents=True, exist_ok=True)
    command = [*through, sys.executable, "-m", "quintet_local", "--template", str(template)]
    command += [*options, "--state", str(state)]
    command += [f"--parameter={name}={value}" for name, value in (parameters or {}).items()]
    with (state / "up.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + seconds
    found = state / "local.json"
    while not _is_of(found, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise LocalAwsFailed((state / "up.log").read_text())
        time.sleep(0.02)
    told = json.loads(found.read_text())
    checked = template == ROOT / "template.yaml"
    return LocalAws(told["endpoint_url"], told["api_url"], told["outputs"], state, process, checked)


def _is_of(path: Path, pid: int) -> bool:
    """Whether the state file is there, and not an earlier process's."""
    return path.exists() and bool(json.loads(path.read_text())["pid"] == pid)


def eventually(look: Callable[[], T | None], seconds: float = 20) -> T:
    """The first result of `look` that is true; what is looked for happens in another process.

    Raises:
        AssertionError: nothing came in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came of it in {seconds} s")
