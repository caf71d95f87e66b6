"""A limit on the processor time of a process, by Linux's control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["NoQuota", "limited"]

ROOT = Path("/sys/fs/cgroup")
#: how often a limit is filled up; Lambda's is not documented, the kernel's default is 100 ms
PERIOD_US = 20_000


class NoQuota(Exception):
    """This machine does not let the process limit itself; the text says why."""


@contextmanager
def limited(vcpus: float, pid: int | None = None, root: Path = ROOT) -> Iterator[None]:
    """Give a process, by default this one, at most a share of one processor within the block.

    Raises:
        NoQuota: the control groups cannot be written, or do not control processors.
    """
    parent, quota = _controller(root)
    pid = os.getpid() if pid is None else pid
    group = parent / f"quintet-size-{pid}"
    limit = round(vcpus * PERIOD_US)
    texts = (
        {"cpu.max": f"{limit} {PERIOD_US}"}
        if quota == "cpu.max"
        else {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(limit)}
    )
    try:
        group.mkdir()
        for name, text in texts.items():
            (group / name).write_text(text, encoding="ascii")
        before = _group_of(pid, parent)
        _join(group, pid)
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise NoQuota(f"{group} cannot be made: {error.strerror}") from error
    try:
        yield
    finally:
        _join(before, pid)
        group.rmdir()


def _controller(root: Path) -> tuple[Path, str]:
    """Where a group that controls processors can be made, and the file of its limit."""
    if (root / "cpu/cpu.cfs_quota_us").exists() or (root / "cpu/cgroup.procs").exists():
        return root / "cpu", "cpu.cfs_quota_us"  # version 1
    try:
        controllers = (root / "cgroup.subtree_control").read_text(encoding="ascii").split()
    except OSError:
        raise NoQuota(f"{root} has no control groups") from None
    if "cpu" not in controllers:
        raise NoQuota(f"the control groups of {root} do not control processors")
    return root, "cpu.max"


def _group_of(pid: int, parent: Path) -> Path:
    """The group that a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            return parent / path.lstrip("/")
    return parent


def _join(group: Path, pid: int) -> None:
    (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
