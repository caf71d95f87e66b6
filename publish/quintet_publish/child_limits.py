"""The limits that a child of `quintet_publish.child` sets for itself. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

__all__ = ["deny_network", "limit_process"]

# https://man7.org/linux/man-pages/man2/unshare.2.html
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def deny_network() -> None:
    """Leave this process without network interfaces, if the machine supports that.

    Call it before anything starts a thread: a process with several threads cannot change its user
    namespace, which a user who is not root needs for a network namespace.
    """
    if sys.platform == "linux":
        flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
        ctypes.CDLL(None).unshare(flags)


def limit_process(memory: int, cpu_seconds: int) -> None:
    """Limit this process from here on: call it once all trusted modules are imported.

    `memory` is in bytes, above what is mapped now. The process can then write no file and start no
    process or thread.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux: the parent watches
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
