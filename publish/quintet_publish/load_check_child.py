"""The child of `load_check`: reads its task, sets its limits, prints its findings as JSON."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from quintet.contract import from_dict
from quintet.errors import ModelFailure
from quintet.manifest import GRAPH, MAPPED, WEIGHTS
from quintet.onnx_model import OnnxModel
from quintet.serving import golden
from quintet_publish.child_limits import limit_process
from quintet_publish.full_request import Recorded, grow
from quintet_publish.golden_files import read_golden
from quintet_publish.largest import one_by_one, run_largest, too_slow
from quintet_publish.noise import SINGLES, dependence, margin, measure
from quintet_publish.sample import check_sample
from quintet_publish.tolerance import Noise, advice, is_stale, told


def main(path: str) -> None:
    """Load, run, compare; then measure the noise, which may fail without consequence."""
    folder = Path(path)
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    graph = (folder / GRAPH).read_bytes()
    contract, name = from_dict(task["contract"]), task["golden_file"]
    vectors = read_golden(contract, name, (folder / name).read_bytes())
    limit_process(task["limits"]["memory"], task["limits"]["cpu_seconds"])
    before = psutil.Process().memory_info().rss
    differing: list[golden.Difference] = []
    try:
        mapped = folder / MAPPED
        loaded, load_ms = _timed(
            lambda: (
                OnnxModel(contract, mapped.read_bytes(), weights=folder / WEIGHTS, packed=False)
                if mapped.exists()
                else OnnxModel(contract, graph)
            )
        )
        model = Recorded(loaded)
        found = _check(task, model, vectors, before, differing)
        if mapped.exists():  # a later call packs its weights
            packed = golden.check(OnnxModel(contract, graph), vectors)
            found["differences"] += told(packed, vectors.rows, "with packed weights, ")
    except (ModelFailure, MemoryError) as error:
        _print(failure(error))
        return
    _print({"result": {"load_ms": load_ms, **found}})
    with contextlib.suppress(ModelFailure, MemoryError):
        noise = measure(model, graph, vectors)
        dependent = dependence(model, vectors) if differing else None
        _print({"noise": asdict(noise), **_told(differing, noise, dependent)})


def _told(
    differing: list[golden.Difference], noise: Noise, dependent: golden.Difference | None
) -> dict[str, Any]:
    if not differing:
        return {}
    return {
        "advice": advice(differing, noise, dependent),
        "stale": is_stale(differing, noise, dependent),
    }


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _check(
    task: dict[str, Any],
    model: Recorded,
    vectors: golden.Golden,
    before: int,
    differing: list[golden.Difference],
) -> dict[str, Any]:
    """Score the vectors together, in a full request and alone; note what differs.

    `before` is the process's memory in bytes, before the graph was loaded.
    """
    differing += golden.check(model, vectors)
    if differing:
        return {"differences": told(differing, vectors.rows)}
    if texts := run_largest(model, vectors):
        return {"differences": [], "contract": [["features", text] for text in texts]}
    if model.contract.rows == "one":
        step = one_by_one(model)
    else:
        step = grow(model, vectors.tolerance, task["request_seconds"], _print)
    among = step.get("differences", [])
    alone = [
        replace(found, row=row)
        for row in range(min(SINGLES, vectors.rows))
        for found in golden.check(model, vectors.slice(row, row + 1))
    ]
    differing += among + alone
    slow = too_slow(model.contract, step["ms"], task["request_seconds"])
    return {
        "differences": [
            *told(alone, min(SINGLES, vectors.rows), "alone, "),
            *told(among, step["rows"], f"among {step['rows']:,} rows, "),
        ],
        "contract": [["limits.rows", text] for text in slow],
        "margin": margin(model, vectors),
        "full_rows": step["rows"],
        "full_ms": step["ms"],
        "memory": max(0, step["memory"] - before),
        "slow": step.get("slow"),
        "sample": check_sample(model, task["sample"]) if task["sample"] else None,
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), (time.perf_counter() - start) * 1000


def failure(error: Exception) -> dict[str, Any]:
    """Keep onnxruntime's own message: here the reader is the graph's author."""
    cause = error.__cause__ or error
    text = " ".join(str(cause).split())
    if isinstance(cause, MemoryError) or "bad_alloc" in text or "Failed to allocate" in text:
        return {"out_of_memory": True}
    return {"error": f"{error}: {text[:400]}" if cause is not error else text[:400]}
