"""Rows a second of grouped jobs in `work`, side by side: python -m benchmarks.async_work

One execution environment scores the same jobs (one row each: a text of the tickets model, an
image of the digits model), one job an invocation and then a hundred. With ports in memory, only our
own code and the model take time; with slow ports each of their calls takes as long as a call of
AWS: `CALL_MS`, DynamoDB's documented latency ("single-digit milliseconds"), applied to SQS and S3
too. The ways take turns in every round; the report shows medians. Without the waits CPU time is
measured, so other load on the machine matters little. Lambda's own overhead for each
invocation is left out, which favours one job an invocation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arro3 import io as arrow_io
from benchmarks.reports import options, report
from tests.kits.workers import Bench, job, message

from quintet.columns import numpy_dtype
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.messages import MemoryEventQueue
from quintet.jobs.transitions import THREADS
from quintet.onnx_model import OnnxModel
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet_publish.model_yaml import read_contract

MODELS = Path(__file__).parents[1] / "models"
ROUNDS = 5
JOBS = 400
GROUP = 100
CALL_MS = 4.0


class Slow:
    """A port whose every call takes `CALL_MS`."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._port, name)

        def slow(*given: Any, **more: Any) -> Any:
            time.sleep(CALL_MS / 1000)
            return call(*given, **more)

        return slow


class Shelf:
    """A model that is already loaded."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        return self.model


def raw(model: OnnxModel, values: Sequence[Any], size: int) -> float:
    """Return rows a second of session.run, `size` at a time."""
    names = [output.name for output in model.contract.outputs]
    (only,) = model.contract.inputs
    shape = (-1, *only.shape[1:])
    feeds = [
        {only.name: np.array(values[at : at + size], dtype=numpy_dtype(only.dtype)).reshape(shape)}
        for at in range(0, len(values), size)
    ]
    begun = time.process_time()
    for feed in feeds:
        model.run(names, feed)
    return len(values) / (time.process_time() - begun)


def worked(model: OnnxModel, values: Sequence[Any], size: int, slow: bool) -> float:
    """Return rows a second of the worker, `size` jobs an invocation."""
    contract = model.contract
    version = Version(contract.version, "", "", model.size, "")
    route = Route(contract.name, contract.version, 1, {contract.version: version})
    models = ModelCache(MemoryRoutes([route]), Shelf(model), memory=10**9, clock=time.monotonic)
    jobs, queue = MemoryJobs(), MemoryEventQueue()
    bench = Bench(models=models, jobs=jobs, notify=queue)
    feature = contract.features[0].name
    for number, value in enumerate(values):
        bench.put(job(str(number), {"records": [{feature: value}]}, model=contract.name))
    if slow:
        bench.jobs, bench.notify = Slow(jobs), Slow(queue)  # type: ignore[assignment]
    worker = bench.worker(threads=THREADS if slow else 1)
    messages = [message(str(number)) for number in range(len(values))]
    clock = time.perf_counter if slow else time.process_time
    begun = clock()
    for at in range(0, len(messages), size):
        worker.work(messages[at : at + size])
    seconds = clock() - begun
    assert {one.state for one in jobs.jobs.values()} == {"DONE"}
    return len(values) / seconds


def compared(name: str) -> list[dict[str, Any]]:
    """Measure one model's ways, each one at a time and grouped."""
    package = MODELS / name
    contract = read_contract((package / "model.yaml").read_bytes())
    model = OnnxModel(contract, (package / "model.onnx").read_bytes())
    feature = contract.features[0]
    table = arrow_io.read_parquet(package / "data/held_out.parquet").read_all()
    values: list[Any] = list(table.column(feature.name).to_pylist()[:JOBS])
    if feature.shape:
        values = [np.reshape(value, feature.shape).tolist() for value in values]
    ways: dict[str, Callable[[int], float]] = {
        "session.run alone": lambda size: raw(model, values, size),
        "work, ports in memory": lambda size: worked(model, values, size, slow=False),
        f"work, {CALL_MS:g} ms a call": lambda size: worked(model, values, size, slow=True),
    }
    found: dict[str, dict[int, list[float]]] = {way: {1: [], GROUP: []} for way in ways}
    for measure in ways.values():
        measure(GROUP)  # warm-up
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            for size in (1, GROUP):
                found[way][size].append(measure(size))
    return [
        {
            "model": name,
            "way": way,
            "one a time, rows/s": round(statistics.median(speeds[1])),
            f"{GROUP} a time, rows/s": round(statistics.median(speeds[GROUP])),
            "gain": round(
                statistics.median(g / o for g, o in zip(speeds[GROUP], speeds[1], strict=True)), 1
            ),
        }
        for way, speeds in found.items()
    ]


def main() -> None:
    """Measure and report."""
    asked = options(__doc__, "async_work").parse_args()
    rows = [row for name in ("tickets", "digits") for row in compared(name)]
    report("async_work", rows, f"{ROUNDS} rounds of {JOBS} jobs, one row a job", write=asked.write)


if __name__ == "__main__":
    main()
