"""The child of `load_check`: reads its task, sets its limits, prints its findings as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from quintet.contract import Contract, from_dict
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel
from quintet.serving import golden

SINGLES = 8  # rows that are also scored one by one
FULL_SECONDS = 5  # about how long the largest request may take here


def main(folder: Path) -> None:
    """Load, run, compare."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    graph = (folder / "model.onnx").read_bytes()
    _limit(task["limits"])
    try:
        found = _check(task, graph)
    except (ModelFailure, MemoryError) as error:
        found = _found(error)
    print(json.dumps(found))


def _limit(limits: dict[str, Any]) -> None:
    """Limit this process from here on: all trusted modules are imported by now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux: the parent watches
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + limits["memory"]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _check(task: dict[str, Any], graph: bytes) -> dict[str, Any]:
    vectors = golden.golden_from_dict(task["golden"])
    process = psutil.Process()
    before = process.memory_info().rss
    contract = from_dict(task["contract"])
    model, load_ms = _timed(lambda: OnnxModel(contract, graph))
    differences, run_ms = _timed(lambda: golden.check(model, vectors))
    texts = [str(difference) for difference in differences]
    rows = _max_rows(contract, vectors.rows, run_ms)
    if not texts:
        for row in range(min(SINGLES, vectors.rows)):
            for found in golden.check(model, vectors.slice(row, row + 1)):
                texts.append(f"alone, row {row} differs: {found.output}: {found.got}")
        differences = golden.check(model, vectors.repeated(rows))
        texts.extend(f"among {rows} rows, {difference}" for difference in differences)
    return {
        "differences": texts,
        "load_ms": load_ms,
        "full_rows": rows,
        "memory": max(0, process.memory_info().rss - before),
    }


def _max_rows(contract: Contract, rows: int, run_ms: float) -> int:
    """The most rows of one request, or as many as take a few seconds."""
    affordable = int(FULL_SECONDS * 1000 / (run_ms / rows))
    return max(rows, min(contract.limits.rows, affordable))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), (time.perf_counter() - start) * 1000


def _found(error: Exception) -> dict[str, Any]:
    """Keep onnxruntime's own message: here the reader is the graph's author."""
    cause = error.__cause__ or error
    text = " ".join(str(cause).split())
    if isinstance(cause, MemoryError) or "bad_alloc" in text or "Failed to allocate" in text:
        return {"out_of_memory": True}
    return {"error": f"{error}: {text[:400]}" if cause is not error else text[:400]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
