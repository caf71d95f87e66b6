"""The built predict function compared with a bare handler: python -m benchmarks.built_predict

Both run in AWS's Runtime Interface Emulator. Requires a build by `make test-built`, and python3.13
on PATH. The bare handler loads numpy and onnxruntime and runs a session of the same model on one
row, nothing else. Cold is the time from the first request, which starts the function's process, to
its response, and that process's CPU time; the ways take turns. predict reads its registry, model
and features from the local AWS.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks.online_setup import MODEL, ROOT, records, served_model
from benchmarks.reports import milliseconds, options, report
from tests.built.artefacts import built
from tests.built.emulator import ARCHITECTURE, INVOKE, Emulator, emulated
from tests.kits.local_aws import LocalAws
from tests.kits.models import event

from quintet_local.server import CONTAINERS_HOST, HOST

COLD_ROUNDS = 9
WARM_CALLS = 1000

BARE = f"""
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
model = onnxruntime.InferenceSession({str(ROOT / "models" / MODEL / "model.onnx")!r}, options)
(tensor,) = model.get_inputs()
rows = numpy.ones((1, tensor.shape[1]), dtype=numpy.float32)

def handler(event, context):
    outputs = model.run(None, {{tensor.name: rows}})
    return {{"statusCode": 200, "body": [output.tolist() for output in outputs]}}
"""


@dataclass(frozen=True)
class Way:
    """A function: its path and its environment."""

    path: list[Path]
    variables: Mapping[str, str]


def main() -> None:
    """Measure and report."""
    given = options(__doc__, "built_predict").parse_args()
    with served_model() as local, tempfile.TemporaryDirectory() as scratch:
        ways = _ways(local, Path(scratch))
        body = json.dumps({"records": records(1)}).encode()
        asked = json.dumps(event("POST", f"/models/{MODEL}/predict", body)).encode()
        cold: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(COLD_ROUNDS + 1):
            for name, way in ways.items():
                with emulated("app.handler", way.path, way.variables, Path(scratch)) as emulator:
                    seconds = _call(http.client.HTTPConnection(HOST, emulator.port), asked)
                    busy = _cpu(emulator)
                if turn:  # the first warms the page cache
                    cold[name].append(seconds)
                    cpu[name].append(busy)
        bare, predict, *_ = ways
        warm = _warm({name: ways[name] for name in (bare, predict)}, asked, Path(scratch))
    rows = _rows("cold", cold) + _rows("cold, processor", cpu) + _rows("warm", warm)
    note = f"{COLD_ROUNDS} cold rounds, {WARM_CALLS} warm calls each; model {MODEL}; {ARCHITECTURE}"
    report("built_predict", rows, note, write=given.write)


def _rows(kind: str, times: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    """Return a line for each way, with the ratio of its median to the first one's."""
    rows: list[dict[str, Any]] = [
        {"what": f"{kind}: {name}", **milliseconds(seconds, 50, 95)}
        for name, seconds in times.items()
    ]
    return [{**row, "of bare": f"{row['p50_ms'] / rows[0]['p50_ms']:.2f}x"} for row in rows]


def _cpu(emulator: Emulator) -> float:
    """Return the CPU seconds of the function's process, to 10 ms."""
    (child,) = psutil.Process(emulator.pid).children()
    return sum(child.cpu_times()[:2])


def _ways(local: LocalAws, scratch: Path) -> dict[str, Way]:
    """Return the bare handler first, predict second; then each without the layers' `.pyc`."""
    function = built(ARCHITECTURE).functions["Predict"]
    layers = [layer / "python" for layer in function.layers]
    runtime = next(layer for layer in layers if layer.parent.name == "RuntimeLayer")
    told = json.loads((local.state / "sam-env.json").read_text())["Predict"]
    variables = {name: value.replace(CONTAINERS_HOST, HOST) for name, value in told.items()}
    variables["QUINTET_PRELOAD"] = MODEL
    task = scratch / "bare"
    task.mkdir()
    (task / "app.py").write_text(BARE)
    sparse = {name: variables[name] for name in ("OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY")}
    bare, predict = [task, runtime], [function.code, *layers]
    return {
        "bare handler": Way(bare, sparse),
        "predict": Way(predict, variables),
        "bare handler, layers not compiled": _uncompiled(bare, sparse, scratch / "bare-sources"),
        "predict, layers not compiled": _uncompiled(predict, variables, scratch / "sources"),
    }


def _uncompiled(path: list[Path], variables: Mapping[str, str], scratch: Path) -> Way:
    """Return the same without the layers' `.pyc`, as if its file system were read-only."""
    task, *layers = path
    copies = [scratch / layer.parent.name for layer in layers]
    for layer, copy in zip(layers, copies, strict=True):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(layer, copy, copy_function=os.symlink, ignore=ignored)
    return Way([task, *copies], {**variables, "PYTHONDONTWRITEBYTECODE": "1"})


def _warm(ways: Mapping[str, Way], asked: bytes, scratch: Path) -> dict[str, list[float]]:
    """Time calls of two functions that run concurrently, in turn."""
    (bare, one), (predict, other) = ways.items()
    with (
        emulated("app.handler", one.path, one.variables, scratch / "one") as first,
        emulated("app.handler", other.path, other.variables, scratch / "other") as second,
    ):
        lines = {
            bare: http.client.HTTPConnection(HOST, first.port),
            predict: http.client.HTTPConnection(HOST, second.port),
        }
        times: dict[str, list[float]] = {name: [] for name in lines}
        for turn in range(WARM_CALLS + 20):
            for name, line in lines.items():
                seconds = _call(line, asked)
                if turn >= 20:
                    times[name].append(seconds)
    return times


def _call(line: http.client.HTTPConnection, asked: bytes) -> float:
    """Return the seconds to a valid response."""
    started = time.perf_counter()
    line.request("POST", INVOKE, asked)
    answer = json.loads(line.getresponse().read())
    seconds = time.perf_counter() - started
    assert answer.get("statusCode") == 200, answer
    return seconds


if __name__ == "__main__":
    main()
