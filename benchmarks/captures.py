"""What captures cost a request, and what a killed process loses: python -m benchmarks.captures

One model of 30 features, with and without `capture`: requests of one row take turns. First in one
process, from API Gateway's event to the response (processor time); then through the API of the
local AWS (time of the client). Last, environments of predict are killed at random: an answer that
a caller got should have its line.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
import yaml
from benchmarks.reports import options, report
from onnx import TensorProto, helper, numpy_helper
from tests.kits.local_aws import FREE_PORTS, LocalAws, start_local_aws
from tests.kits.models import Clock, event, publish_graph

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import Capture, Contract, Feature, Input, Output
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import RECORDS
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

FEATURES = [f"f{number:02d}" for number in range(30)]
PLAIN = Contract(
    name="plain",
    version=1,
    task="regression",
    features=tuple(Feature(name=name, dtype="float32") for name in FEATURES),
    inputs=(Input(name="X", dtype="float32", shape=(-1, 30), features=tuple(FEATURES)),),
    outputs=(Output(name="score", dtype="float32", shape=(-1, 1), meaning="score"),),
)
CAPTURED = replace(PLAIN, name="captured", capture=Capture())
BODY = json.dumps({"records": [{name: 0.1 * n for n, name in enumerate(FEATURES)}]}).encode()
JSON = {"Content-Type": "application/json"}
BLOCK, BLOCKS, REQUESTS, KILLED = 200, 200, 3000, 400


def graph() -> bytes:
    """score = sigmoid of the sum of the features."""
    ones = numpy_helper.from_array(np.ones((30, 1), dtype=np.float32), "ones")
    nodes = [
        helper.make_node("MatMul", ["X", "ones"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    tensor = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "sum",
        [tensor("X", TensorProto.FLOAT, ["rows", 30])],
        [tensor("score", TensorProto.FLOAT, ["rows", 1])],
        [ones],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Loader:
    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        return OnnxModel(PLAIN if model == "plain" else CAPTURED, graph())


def in_process() -> dict[str, Any]:
    """The processor time of a request in microseconds, plain and captured."""
    clock = Clock()
    routes = [Route(n, 1, 1, {1: Version(1, "d", "s", 1, "now")}) for n in ("plain", "captured")]
    cache = ModelCache(MemoryRoutes(routes), _Loader(), memory=10**9, clock=clock)
    online = Online(cache, dict, MemoryFeatures(), PredictionCache(clock=clock), clock)
    telemetry = RequestTelemetry(StdoutTelemetry("benchmark", {}))
    handle = partial(RECORDS.answer, online)
    table = gateway.Routes({("POST", "/models/{model}/predict"): (handle, RECORDS.failure)})

    def ask(name: str) -> Callable[[], Any]:
        asked = event("POST", f"/models/{name}/predict", BODY, JSON)
        return lambda: gateway.respond(asked, table, lambda: telemetry, lambda: "none")

    plain, captured = ask("plain"), ask("captured")
    assert plain()["statusCode"] == captured()["statusCode"] == 200
    base, added = [], []
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        for _ in range(BLOCKS):
            one, other = _microseconds(plain), _microseconds(captured)
            base.append(one)
            added.append(other - one)
        sys.stdout = sys.__stdout__
    tenths = statistics.quantiles(added, n=10)
    return {
        "what": "in process, processor time of a request, median",
        "without": f"{statistics.median(base):.1f} us",
        "added": f"{statistics.median(added):.1f} us",
        "added, p10 to p90": f"{tenths[0]:.1f} to {tenths[-1]:.1f} us",
    }


def _microseconds(call: Callable[[], Any]) -> float:
    begun = time.process_time_ns()
    for _ in range(BLOCK):
        call()
    return (time.process_time_ns() - begun) / BLOCK / 1000


def publish(local: LocalAws) -> None:
    """Publish both models."""
    for contract in (PLAIN, CAPTURED):
        publish_graph(contract, graph(), {name: [0.0] for name in FEATURES}, local.registry)


def through_the_api() -> dict[str, Any]:
    """The client's median time of a request in milliseconds, plain and captured."""
    with tempfile.TemporaryDirectory() as folder:
        local = start_local_aws(Path(folder))
        try:
            publish(local)
            place = urlsplit(local.api_url)
            connection = http.client.HTTPConnection(place.hostname or "", place.port)
            times: dict[str, list[float]] = {"plain": [], "captured": []}
            for number in range(REQUESTS):
                for name, took in times.items():
                    begun = time.perf_counter()
                    connection.request("POST", f"/models/{name}/predict", BODY, JSON)
                    response = connection.getresponse()
                    response.read()
                    assert response.status == 200
                    if number >= 100:
                        took.append((time.perf_counter() - begun) * 1000)
        finally:
            local.stop()
    plain, captured = (statistics.median(took) for took in times.values())
    tenths = statistics.quantiles(
        [b / a - 1 for a, b in zip(times["plain"], times["captured"], strict=True)], n=10
    )
    return {
        "what": "through the local API, time of a request, median",
        "without": f"{plain:.3f} ms",
        "added": f"{captured / plain - 1:.1%}",
        "added, p10 to p90": f"{tenths[0]:.0%} to {tenths[-1]:.0%}",
    }


def killed() -> dict[str, Any]:
    """How many answers that callers got have no line, and how many lines no caller's answer."""
    faults = {"seed": 3, "kills": {"share": 1.0, "functions": ["Predict"]}}
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "faults.yaml"
        plan.write_text(yaml.safe_dump(faults))
        options = (*FREE_PORTS, "--faults", str(plan))
        local = start_local_aws(Path(folder) / "state", options=options)
        try:
            publish(local)
            answered, failed = set(), 0
            for _ in range(KILLED):
                place = urlsplit(local.api_url)
                connection = http.client.HTTPConnection(place.hostname or "", place.port)
                connection.request("POST", "/models/captured/predict", BODY, JSON)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    answered.add(response.headers["X-Quintet-Event"])
                failed += response.status != 200
                connection.close()
            time.sleep(1)
            lines = local.logs("Predict").splitlines()
            found = [json.loads(line) for line in lines if line.startswith('{"capture":1,')]
            written = {line["event"] for line in found}
        finally:
            local.stop()
    if not failed:
        sys.exit("no request was killed, so nothing was measured: the machine was too fast; repeat")
    return {
        "what": "killed at a random moment of the request",
        "answers": len(answered),
        "killed": failed,
        "answers without a line": len(answered - written),
        "lines without an answer": len(written - answered),
    }


def main() -> None:
    """Measure and report."""
    asked = options(__doc__, "captures").parse_args()
    note = f"30 features, one row; {BLOCKS} blocks of {BLOCK}, {REQUESTS} requests through the API"
    report("captures", [in_process(), through_the_api()], note, write=asked.write)
    report(
        "captures_killed",
        [killed()],
        "every environment is killed within half a second",
        write=asked.write,
    )


if __name__ == "__main__":
    main()
