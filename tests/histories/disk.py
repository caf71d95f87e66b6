"""A disk that fills: a small tmpfs, or a limit on the size of files, as this machine allows."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import psutil

__all__ = ["Disk", "FileLimit", "NoDisk", "SmallDisk", "disk_at"]

MEBIBYTE = 1 << 20
SIZE = 400 * MEBIBYTE


class Disk(Protocol):
    """Where a server's folder is. `missing` says why it cannot be filled, if it cannot."""

    missing: str

    def fill(self, server: int) -> None:
        """Let the server of that process write no more."""
        ...

    def free(self, server: int) -> None:
        """Let it write again; it may have ended."""
        ...

    def close(self) -> None:
        """Undo what was made."""
        ...


class SmallDisk:
    """A tmpfs, which a file fills; only root may mount one."""

    missing = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    def mounted(cls, folder: Path) -> SmallDisk | None:
        """One at an empty folder; None if this process may not mount."""
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return None
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, check=False)
        return cls(folder) if done.returncode == 0 else None

    def fill(self, server: int) -> None:
        """See `Disk.fill`."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * MEBIBYTE)

    def free(self, server: int) -> None:
        """See `Disk.free`."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """See `Disk.close`."""
        subprocess.run(["umount", "-l", self._folder], check=False)


class FileLimit:
    """Files that the server and its environments may not write: an error like that of a full disk.

    https://man7.org/linux/man-pages/man2/getrlimit.2.html, RLIMIT_FSIZE
    """

    missing = ""

    def fill(self, server: int) -> None:
        """See `Disk.fill`."""
        _limit(server, 0)

    def free(self, server: int) -> None:
        """See `Disk.free`."""
        with contextlib.suppress(psutil.Error):
            for one in (server, *(child.pid for child in psutil.Process(server).children())):
                _limit(one, psutil.RLIM_INFINITY)

    def close(self) -> None:
        """See `Disk.close`."""


class NoDisk:
    """One that cannot be filled."""

    missing = "no tmpfs can be mounted (not root), and no process limited (not Linux)"

    def fill(self, server: int) -> None:
        """See `Disk.fill`."""

    def free(self, server: int) -> None:
        """See `Disk.free`."""

    def close(self) -> None:
        """See `Disk.close`."""


def disk_at(folder: Path) -> Disk:
    """The best that this machine allows, at an empty folder."""
    if disk := SmallDisk.mounted(folder):
        return disk
    return FileLimit() if sys.platform == "linux" else NoDisk()


def _limit(process: int, size: int) -> None:
    if sys.platform == "linux":
        found = psutil.Process(process)
        _, hard = found.rlimit(psutil.RLIMIT_FSIZE)
        with contextlib.suppress(psutil.NoSuchProcess):
            found.rlimit(psutil.RLIMIT_FSIZE, (hard if size < 0 else size, hard))
