"""The child of `load_check`: reads its task, sets its limits, prints its findings as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from quintet.contract import Contract, from_dict
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel
from quintet.serving import golden
from quintet_publish.child_limits import limit_process

SINGLES = 8  # rows that are also scored one by one
FULL_SECONDS = 5  # about how long the largest request may take here


def main(path: str) -> None:
    """Load, run, compare."""
    folder = Path(path)
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    graph = (folder / "model.onnx").read_bytes()
    vectors = golden.golden_from_dict(json.loads((folder / "golden.json").read_bytes()))
    limit_process(task["limits"]["memory"], task["limits"]["cpu_seconds"])
    try:
        found = _check(task, graph, vectors)
    except (ModelFailure, MemoryError) as error:
        found = _found(error)
    print(json.dumps(found), flush=True)


def _check(task: dict[str, Any], graph: bytes, vectors: golden.Golden) -> dict[str, Any]:
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
