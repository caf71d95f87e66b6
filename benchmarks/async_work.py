"""Rows a second of work's grouping, side by side: python -m benchmarks.async_work

One execution environment scores the same jobs (one text each, of the tickets model) one job
an invocation, and a hundred. Ports are in memory, so that nothing but our own code and the
model takes time; then each of their calls takes as long as a call of AWS: `CALL_MS`, what
DynamoDB says of itself ("single-digit milliseconds"), is taken for SQS and S3, too. The ways
take turns in every round; shown are medians. What Lambda itself adds to each invocation is left
out, which favours one job an invocation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arro3 import io as arrow_io
from benchmarks.online_setup import report
from tests.workkit import Bench, job, message

from quintet.jobs.dispatch import MemoryQueue
from quintet.jobs.store import MemoryJobs
from quintet.models import MemoryRoutes, Models, Route, Version
from quintet.onnx_model import OnnxModel
from quintet.working.worker import THREADS
from quintet_cli.model_yaml import read_contract

PACKAGE = Path(__file__).parents[1] / "models/tickets"
ROUNDS = 5
JOBS = 400
GROUP = 100
CALL_MS = 4.0


class Slow:
    """A port of which every call takes `CALL_MS`."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._port, name)

        def slow(*given: Any) -> Any:
            time.sleep(CALL_MS / 1000)
            return call(*given)

        return slow


class Shelf:
    """The model, loaded already."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.models.Loader.load`."""
        return self.model


def raw(model: OnnxModel, texts: Sequence[str], size: int) -> float:
    """Rows a second of session.run, `size` at a time."""
    names = [output.name for output in model.contract.outputs]
    feeds = [
        {"text": np.array(texts[at : at + size], dtype=object).reshape(-1, 1)}
        for at in range(0, len(texts), size)
    ]
    begun = time.perf_counter()
    for feed in feeds:
        model.run(feed, names)
    return len(texts) / (time.perf_counter() - begun)


def worked(models: Models, texts: Sequence[str], size: int, slow: bool) -> float:
    """Rows a second of the worker, `size` jobs an invocation."""
    jobs, queue = MemoryJobs(), MemoryQueue()
    bench = Bench(models=models, jobs=jobs, notify=queue)
    for number, text in enumerate(texts):
        bench.put(job(str(number), {"records": [{"text": text}]}, model="tickets"))
    if slow:
        bench.jobs, bench.notify = Slow(jobs), Slow(queue)  # type: ignore[assignment]
    worker = bench.worker(threads=THREADS if slow else 1)
    messages = [message(str(number)) for number in range(len(texts))]
    begun = time.perf_counter()
    for at in range(0, len(messages), size):
        worker.work(messages[at : at + size])
    seconds = time.perf_counter() - begun
    assert {one.state for one in jobs.jobs.values()} == {"DONE"}
    return len(texts) / seconds


def main() -> None:
    """Measure and report."""
    contract = read_contract((PACKAGE / "model.yaml").read_bytes())
    model = OnnxModel(contract, (PACKAGE / "model.onnx").read_bytes())
    version = Version(contract.version, "", "", model.size, "")
    route = Route(contract.name, contract.version, 1, {contract.version: version})
    models = Models(MemoryRoutes([route]), Shelf(model), memory=10**9, clock=time.monotonic)
    table = arrow_io.read_parquet(PACKAGE / "data/held_out.parquet").read_all()
    texts: list[str] = [str(text) for text in table.column("text").to_pylist()[:JOBS]]
    ways: dict[str, Callable[[int], float]] = {
        "session.run alone": lambda size: raw(model, texts, size),
        "work, ports in memory": lambda size: worked(models, texts, size, slow=False),
        f"work, {CALL_MS:g} ms a call": lambda size: worked(models, texts, size, slow=True),
    }
    found: dict[str, dict[int, list[float]]] = {way: {1: [], GROUP: []} for way in ways}
    for measure in ways.values():
        measure(GROUP)  # warm
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            for size in (1, GROUP):
                found[way][size].append(measure(size))
    rows = [
        {
            "way": way,
            "one a time, rows/s": round(statistics.median(speeds[1])),
            f"{GROUP} a time, rows/s": round(statistics.median(speeds[GROUP])),
            "gain": round(
                statistics.median(g / o for g, o in zip(speeds[GROUP], speeds[1], strict=True)), 1
            ),
        }
        for way, speeds in found.items()
    ]
    report("async_work", rows, f"{ROUNDS} rounds of {JOBS} jobs; tickets, one text a job")


if __name__ == "__main__":
    main()
