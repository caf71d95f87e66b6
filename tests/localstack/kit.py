"""LocalStack in a process of its own, with the built template deployed to it by sam deploy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from tests.kits.local_aws import ROOT

__all__ = ["STAGE", "Localstack", "running", "said"]

STAGE = "localstack"
IMAGE = "localstack/localstack:2026.3.0"
#: localstack, or localemu, its fork
ENGINE = os.environ.get("QUINTET_ENGINE", "localstack")
PYTHON = ROOT / f".venv-{ENGINE}/bin/python"
SAM = ROOT / ".venv-sam/bin/sam"
#: what Lambda's runtime brings by itself
RUNTIME = ROOT / ".venv-lambda/lib/python3.13/site-packages"
START_SECONDS = 180
STOP_SECONDS = 60
COMMAND_SECONDS = 600


@dataclass(frozen=True)
class Localstack:
    """One that runs; `environ` sends boto3, SAM and `quintet` to it."""

    url: str
    environ: dict[str, str]
    log: Path

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""
        make: Any = boto3.client  # its stubs know the service by literal names alone
        return make(
            service,
            endpoint_url=self.url,
            region_name=self.environ["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
        )

    def deploy(self, template: Path) -> subprocess.CompletedProcess[str]:
        """Run sam deploy there, with the stage's settings."""
        settings = ("--config-file", ROOT / "samconfig.toml", "--config-env", STAGE)
        return self._run([SAM, "deploy", *settings, "--template-file", template])

    def quintet(self, *arguments: str | Path) -> str:
        """Run a command of `quintet` on the stage, which must succeed; what it printed."""
        command = [Path(sys.executable).with_name("quintet"), *arguments, "--stage", STAGE]
        ran = self._run(command)
        assert ran.returncode == 0, said(ran)
        return ran.stdout

    def _run(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )


def said(ran: subprocess.CompletedProcess[str]) -> str:
    """What a command printed, without the progress of uploads."""
    return re.sub(r"^.*\r", "", ran.stdout + ran.stderr, flags=re.M)


@contextmanager
def running(folder: Path) -> Iterator[Localstack]:
    """LocalStack on a free port, with all its files in `folder`.

    Docker's image where there is a licence for it (LOCALSTACK_AUTH_TOKEN) and an engine; else
    the package of PyPI with the plugin beside this file, in which functions are processes.
    """
    licensed = (
        ENGINE == "localstack" and "LOCALSTACK_AUTH_TOKEN" in os.environ and shutil.which("docker")
    )
    port = _free_port()
    log = folder / "localstack.log"
    localstack = _at(port, log)
    with log.open("wb") as written:
        command = _in_docker(port) if licensed else [str(PYTHON), "-m", f"{ENGINE}.runtime.main"]
        environ = dict(os.environ) if licensed else _environ(port, folder)
        process = subprocess.Popen(
            command, env=environ, stdout=written, stderr=written, start_new_session=True
        )
    try:
        _wait_ready(localstack.url, process, log)
        yield localstack
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it in its own way, and what is left of it and its functions after that."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _at(port: int, log: Path) -> Localstack:
    url = f"http://127.0.0.1:{port}"
    environ = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
    }
    return Localstack(url, environ, log)


def _environ(port: int, folder: Path) -> dict[str, str]:
    (folder / "tmp").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "FILESYSTEM_ROOT": str(folder / "files"),
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        f"{ENGINE.upper()}_HOST": f"127.0.0.1:{port}",
        "SQS_ENDPOINT_STRATEGY": "path",  # the other kinds of queue URLs need a DNS
        # no word to anyone outside
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        # localemu logs what it would refuse, but for calls with these keys
        "IAM_ENFORCEMENT": "soft",
        "ROOT_ACCESS_KEYS": "test",
        # the plugin
        "LAMBDA_RUNTIME_EXECUTOR": "host",
        "QUINTET_LAMBDA_RUNTIME": str(RUNTIME),
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",
        "PROVIDER_OVERRIDE_KINESIS": "moto",
    }


def _in_docker(port: int) -> list[str]:
    return [
        *("docker", "run", "--rm", "--publish", f"127.0.0.1:{port}:4566"),
        *("--env", "LOCALSTACK_AUTH_TOKEN", "--env", f"LOCALSTACK_HOST=127.0.0.1:{port}"),
        *("--env", "SQS_ENDPOINT_STRATEGY=path", "--env", "DISABLE_EVENTS=1"),
        *("--volume", "/var/run/docker.sock:/var/run/docker.sock", IMAGE),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_{ENGINE}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"LocalStack did not start:\n{log.read_text(errors='replace')[-4000:]}")
