"""The child of `load_check`: reads its task, sets its limits, prints its findings as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from quintet.contract import from_dict
from quintet.errors import ModelFailure
from quintet.onnx_model import OnnxModel
from quintet.serving import golden
from quintet_publish.child_limits import limit_process
from quintet_publish.full_request import Recorded, grow
from quintet_publish.largest import one_by_one, run_largest, too_slow
from quintet_publish.sample import check_sample

SINGLES = 8  # rows that are also scored one by one


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
    _print(found)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _check(task: dict[str, Any], graph: bytes, vectors: golden.Golden) -> dict[str, Any]:
    before = psutil.Process().memory_info().rss
    contract = from_dict(task["contract"])
    loaded, load_ms = _timed(lambda: OnnxModel(contract, graph))
    model = Recorded(loaded)
    texts = [str(difference) for difference in golden.check(model, vectors)]
    if texts:
        return {"differences": texts}
    if texts := run_largest(model, vectors):
        return {"differences": [], "contract": [["features", text] for text in texts]}
    if contract.rows == "one":
        step = one_by_one(model)
    else:
        step = grow(model, vectors.tolerance, task["request_seconds"], _print)
    texts = step.get("differences", [])
    for row in range(min(SINGLES, vectors.rows)):
        for found in golden.check(model, vectors.slice(row, row + 1)):
            texts.append(f"alone, row {row} differs: {found.output}: {found.got}")
    return {
        "differences": texts,
        "contract": [["limits.rows", text] for text in too_slow(contract, step["ms"])],
        "load_ms": load_ms,
        "full_rows": step["rows"],
        "full_ms": step["ms"],
        "memory": max(0, step["memory"] - before),
        "slow": step.get("slow"),
        "sample": check_sample(model, task["sample"]) if task["sample"] else None,
    }


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
