"""Load a graph and run its golden vectors in a child process, under limits.

A small graph can allocate terabytes or run forever, which only running it shows. The child has
no credentials, and limits on memory, CPU and time: a bomb kills the child, not this process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from quintet.contract import Contract, to_dict
from quintet.serving.golden import Golden
from quintet_publish.problems import PackageError, Problem

__all__ = ["Checked", "Limits", "load_check"]

POLL_SECONDS = 0.02
SHOWN = 10
KEPT_ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of loading and running a graph."""

    memory: int = 2_000_000_000  # above what Python, numpy and onnxruntime take
    cpu_seconds: int = 60
    seconds: int = 120


@dataclass(frozen=True, slots=True)
class Checked:
    """The cost of loading and scoring a graph, and how many rows were scored at once."""

    load_ms: float
    full_rows: int
    memory: int


def load_check(
    graph: bytes, contract: Contract, golden: Golden, limits: Limits = Limits()
) -> Checked:
    """Load the graph and score the golden vectors: together, alone, and in a full request.

    Raises:
        PackageError: the graph does not load, goes over a limit, or gives other outputs.
    """
    with tempfile.TemporaryDirectory(prefix="quintet-check-") as folder:
        task = {"contract": to_dict(contract), "golden": golden.to_dict(), "limits": asdict(limits)}
        Path(folder, "task.json").write_text(json.dumps(task), encoding="utf-8")
        Path(folder, "model.onnx").write_bytes(graph)
        found = _run_child(folder, limits)
    if "error" in found:
        raise PackageError.of("model.onnx", found["error"])
    if differences := found["differences"]:
        problems = [Problem("golden.json", text) for text in differences[:SHOWN]]
        if len(differences) > SHOWN:
            problems.append(Problem("golden.json", f"and {len(differences) - SHOWN} more"))
        raise PackageError(problems)
    return Checked(found["load_ms"], found["full_rows"], found["memory"])


def _run_child(folder: str, limits: Limits) -> dict[str, Any]:
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    # the child finds this package wherever the parent found it
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-m", "quintet_publish.load_check_child", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    watch = _Watch(child.pid, limits)
    watcher = threading.Thread(target=watch.run, daemon=True)
    watcher.start()
    try:
        output, _ = child.communicate(timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"loading or running it took over {limits.seconds} s"}
    finally:
        child.kill()
        child.wait()
        watch.stop.set()
        watcher.join()
    if child.returncode == -signal.SIGXCPU:
        return {"error": f"loading or running it took over {limits.cpu_seconds} s of CPU time"}
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        found = {"error": f"loading or running it ended the process ({_ending(child.returncode)})"}
    if watch.over or "out_of_memory" in found:
        return {"error": f"loading or running it took over {limits.memory / 1e9:g} GB of memory"}
    return found


class _Watch:
    """Kills a process whose resident memory exceeds a limit, since not every OS has RLIMIT_AS."""

    #: of an interpreter with numpy and onnxruntime
    BASE = 200_000_000

    def __init__(self, pid: int, limits: Limits) -> None:
        self.over = False
        self.stop = threading.Event()
        self._pid = pid
        self._max_bytes = limits.memory + self.BASE

    def run(self) -> None:
        """Look every few milliseconds until stopped."""
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
