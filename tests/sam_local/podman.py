"""A Podman of the tests' own: configuration, storage, socket and service in one folder.

The user's containers and images are not touched, and the Podmans of two runs do not meet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["GATEWAY", "READY", "ROOT", "Podman", "serving"]

ROOT = Path(__file__).parents[2]
READY = "ready"
#: this machine in the network of the containers, as 172.17.0.1 is for Docker on Linux
GATEWAY = "10.88.0.1"

# runc, cgroupfs, files for events and locks: what needs no systemd and no cgroups of version 2
CONTAINERS = """\
[containers]
netns = "bridge"
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{folder}/libpod"
volume_path = "{folder}/volumes"
[network]
network_backend = "cni"
network_config_dir = "{folder}/networks"
default_subnet = "10.88.0.0/16"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Podman:
    """One that serves Docker's API on a socket."""

    folder: Path

    @property
    def docker_host(self) -> str:
        """What clients of Docker's API take as DOCKER_HOST."""
        return f"unix://{self.folder}/podman.sock"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its own command."""
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "TMPDIR": str(self.folder / "tmp"),
        }

    def configure(self) -> None:
        """Write its configuration."""
        for name in ("tmp", "networks"):
            (self.folder / name).mkdir()
        for name, text in (("containers.conf", CONTAINERS), ("storage.conf", STORAGE)):
            (self.folder / name).write_text(text.format(folder=self.folder))

    def run(self, *arguments: str, stdin: IO[bytes] | None = None) -> str:
        """What `podman` with these arguments prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = ["podman", *arguments]
        return subprocess.run(
            command, env=self.environ, stdin=stdin, stdout=subprocess.PIPE, check=True
        ).stdout.decode()

    def remove(self) -> None:
        """Remove its containers, what is still mounted, and the folder."""
        removal = ["podman", "rm", "--all", "--force", "--time=0"]
        subprocess.run(removal, env=self.environ, stdout=subprocess.DEVNULL, check=False)
        places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for place in reversed(places):  # the latest first: one may be within another
            if Path(place).is_relative_to(self.folder):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder)


@contextmanager
def serving() -> Iterator[Podman]:
    """One that serves, and that is removed afterwards even if this process is killed."""
    # not in pytest's folder: the path of a socket has 107 characters at most
    podman = Podman(Path(tempfile.mkdtemp(prefix="quintet-podman-")))
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.sam_local.keeper", str(podman.folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C ends the tests; the keeper cleans up after them
    )
    assert keeper.stdin is not None and keeper.stdout is not None
    try:
        told = keeper.stdout.readline().strip()
        assert told == READY, f"podman does not serve: {told}"
        yield podman
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=120)
        keeper.stdout.close()
