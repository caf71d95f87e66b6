"""Runs a module in a child process under limits, because its input is not trusted.

A small file can take gigabytes once parsed, a small graph terabytes once run. The child has no
credentials, no network if the machine supports that, and limits on memory, CPU time, time, files
and processes: a bomb kills the child, not this process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import psutil

__all__ = ["Ended", "Limits", "run_child"]

POLL_SECONDS = 0.02
KEPT_ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a child."""

    memory: int = 2_000_000_000  # above what Python, numpy and onnxruntime take
    cpu_seconds: int = 60
    seconds: int = 120


@dataclass(slots=True)
class Ended:
    """How a child ended: the JSON objects that it printed, one per line, and what stopped it."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def last(self) -> dict[str, Any]:
        """Return the last object that it printed."""
        return self.lines[-1] if self.lines else {}


def run_child(module: str, arguments: list[str], limits: Limits) -> Ended:
    """Run the `main` of a module, which prints JSON and sets its own limits by `child_limits`.

    The error completes a sentence: "took over 2 GB of memory".
    """
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    # the child finds this package wherever the parent found it
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-m", "quintet_publish.child_main", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    watch = _Watch(child.pid, limits)
    watcher = threading.Thread(target=watch.run, daemon=True)
    watcher.start()
    late = False
    try:
        output, _ = child.communicate(timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        late = True
        child.kill()
        output, _ = child.communicate()
    finally:
        child.kill()
        child.wait()
        watch.stop.set()
        watcher.join()
    lines = [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
    ended = Ended(lines)
    if watch.over or "out_of_memory" in ended.last:
        ended.error = f"took over {limits.memory / 1e9:g} GB of memory"
    elif late:
        ended.error = f"took over {limits.seconds} s"
    elif child.returncode == -signal.SIGXCPU:
        ended.error = f"took over {limits.cpu_seconds} s of CPU time"
    elif child.returncode == -signal.SIGABRT:  # how Rust and C++ end when memory is refused
        ended.error = "ended the process: out of memory, or an error in a library (signal SIGABRT)"
    elif child.returncode:
        ended.error = f"ended the process ({_ending(child.returncode)})"
    return ended


class _Watch:
    """Kills a process whose resident memory exceeds a limit, since not every OS has RLIMIT_AS."""

    #: resident memory of an interpreter with numpy and onnxruntime
    BASE = 200_000_000

    def __init__(self, pid: int, limits: Limits) -> None:
        self.over = False
        self.stop = threading.Event()
        self._pid = pid
        self._max_bytes = limits.memory + self.BASE

    def run(self) -> None:
        """Poll every few milliseconds until stopped."""
        try:
            process = psutil.Process(self._pid)
            while not self.stop.wait(POLL_SECONDS):
                if process.memory_info().rss > self._max_bytes:
                    self.over = True
                    process.kill()
                    return
        except psutil.NoSuchProcess:
            return


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
