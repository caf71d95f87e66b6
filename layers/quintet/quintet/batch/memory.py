"""The peak memory of this process."""

from __future__ import annotations

import resource
from pathlib import Path

__all__ = ["peak_mb"]

STATUS = Path("/proc/self/status")


def peak_mb() -> float:
    """The peak memory of this process so far, in MB.

    If possible, it is of this program alone: `getrusage` also counts the parent's memory.
    https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    text = STATUS.read_text() if STATUS.exists() else ""
    _, found, rest = text.partition("VmHWM:")
    if not found:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(rest.split()[0]) / 1024
