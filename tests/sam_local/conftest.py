"""Podman with the stand-in image, a local AWS that containers reach, and a folder for `sam`."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.kits.events import INBOX, prepare
from tests.kits.local_aws import ROOT, LocalAws, eventually, start_local_aws
from tests.sam_local import stand_in
from tests.sam_local.podman import GATEWAY, Podman, serving

PAGE = (ROOT / "docs/sam-local.md").read_text()
#: what differs from Docker with AWS's image: the image, and where it comes from
IMAGE = f"--invoke-image {stand_in.NAME} --skip-pull-image"
#: what the docs say for Docker on Linux, with the address of Podman's bridge
HOST = f"--add-host host.docker.internal:{GATEWAY}"
#: the process ends with its parent, if that is killed too
BOUND = ("setpriv", "--pdeathsig", "TERM")


def block(heading: str, language: str = "bash") -> str:
    """The code under a heading of docs/sam-local.md."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.S)
    assert found is not None
    return found.group(1)


@dataclass(frozen=True)
class Sam:
    """Where commands of the docs are run: a folder that looks like a checkout after `sam build`."""

    folder: Path
    environ: dict[str, str]

    def run(self, line: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """What became of a command of the docs; `sam` gets the flags of this engine and image."""
        command = shlex.split(f"{line} {HOST} {IMAGE}" if line.startswith("sam ") else line)
        return subprocess.run(
            [*BOUND, *command],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """It serves, and has the stand-in."""
    with serving() as found:
        stand_in.make(found)
        # a machine has the bridge, and so GATEWAY, from its first container on
        found.run("run", "--rm", stand_in.NAME, "sh", "-c", "exit 0")
        yield found


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, podman: Podman) -> Iterator[LocalAws]:
    """A local AWS with what the events refer to, relayed to where containers look for it."""
    parameters = {"BatchInputBucketArn": f"arn:aws:s3:::{INBOX}"}
    state = tmp_path_factory.mktemp("local")
    found = start_local_aws(state, parameters=parameters, through=BOUND)
    prepare(found)
    port = int(found.endpoint_url.rpartition(":")[2])
    relay = block("Docker on Linux").replace("4566", str(port)).replace("172.17.0.1", GATEWAY)
    with running(shlex.split(relay.splitlines()[0].removesuffix(" &"))):
        eventually(lambda: listens(GATEWAY, port))
        yield found
    found.stop()


@contextmanager
def running(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, or with this one."""
    process = subprocess.Popen([*BOUND, *command], **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def listens(host: str, port: int) -> bool:
    """Whether connections are taken there."""
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


@pytest.fixture(scope="session")
def sam(podman: Podman, local: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Sam:
    """`sam` and `quintet` as the docs call them, on that Podman and that local AWS."""
    folder = tmp_path_factory.mktemp("checkout")
    built = ROOT / ".aws-sam/x86_64"
    assert built.exists(), "nothing is built; `make test-sam-local` builds and tests"
    (folder / ".aws-sam").symlink_to(built)
    (folder / ".quintet").symlink_to(local.state)
    for name in ("template.yaml", "samconfig.toml", "events", "models"):
        (folder / name).symlink_to(ROOT / name)
    own = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    path = [str(ROOT / ".venv-sam/bin"), str(Path(sys.executable).parent), own["PATH"]]
    environ = {
        **own,
        "PATH": os.pathsep.join(path),
        "HOME": str(folder),  # SAM's locks, caches and settings are this run's own
        "TMPDIR": str(podman.folder / "tmp"),
        "DOCKER_HOST": podman.docker_host,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return Sam(folder, environ)
