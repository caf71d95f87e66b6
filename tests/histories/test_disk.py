"""A disk is full for a process until it is freed, and does not stay mounted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.histories.disk import FileLimit, SmallDisk

#: appends a megabyte for each line, and says how it went
WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "ab") as file:
            file.write(b"x" * 1_000_000)
        print("written", flush=True)
    except OSError:
        print("full", flush=True)
"""


class Writer:
    """A process that writes to a file."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def write(self) -> str:
        """Let it write."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """One that writes below the folder `state`."""
    (tmp_path / "state").mkdir()
    made = Writer(tmp_path / "state" / "file")
    yield made
    made.process.kill()
    made.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are Linux's")
def test_a_limited_process_writes_nothing_until_it_is_freed(writer: Writer) -> None:
    assert writer.write() == "written"
    FileLimit().fill(writer.process.pid)
    assert writer.write() == "full"
    FileLimit().free(writer.process.pid)
    assert writer.write() == "written"


def test_a_small_disk_is_full_until_it_is_freed(tmp_path: Path, writer: Writer) -> None:
    disk = SmallDisk.mounted(tmp_path / "state")
    if disk is None:
        pytest.skip("no tmpfs can be mounted here")
    try:
        assert writer.write() == "written"
        disk.fill(writer.process.pid)
        assert writer.write() == "full"
        disk.free(writer.process.pid)
        assert writer.write() == "written"
    finally:
        disk.close()
    assert list((tmp_path / "state").iterdir()) == []


def test_an_ended_process_is_freed_without_a_word(writer: Writer) -> None:
    writer.process.kill()
    writer.process.wait()
    FileLimit().free(writer.process.pid)
