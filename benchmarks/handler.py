"""What a request costs besides its run, beside floors in the same run: python -m benchmarks.handler

    python -m benchmarks.handler [--rounds 15] [--only one stored many forms stream]

Processor time of one process on one thread, with ports in memory, from API Gateway's event to its
response (of streams: from Lambda's event to its answer). In each round every way is called in turn,
many times in a row, so that it runs as warm as a busy environment's. Shown are the median and the
least of the rounds' means, and what they are more, and times as much, as `session.run` on the same
rows: the median of the same round's differences and ratios.

`trees` has 100 trees and 30 numbers (that of benchmarks.score_unit), `fraud` is the example with 8
request features and 7 stored ones in the environment's memory, `slow` runs 4 to 5 ms. `by hand` is
a lean handler and `Powertools` the usual one (resolver, Logger, Metrics); both do less: see
benchmarks/handler_peers.py. Run it on a quiet machine; other work slows Python more than the run.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from benchmarks.handler_peers import by_hand, with_powertools
from benchmarks.score_stream import answered, event_of
from benchmarks.score_stream import contract as stream_contract
from benchmarks.score_unit import contract_of as trees_of
from benchmarks.score_unit import feature_names, make
from numpy.typing import NDArray
from tests.kits.models import event
from tests.kits.streams import cache_of

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import Capture, Contract
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import OIP, RECORDS
from quintet.serving import Online, PredictionCache
from quintet_publish.kit import contract_of

FEATURES = feature_names(30)
FRAUD = Path(__file__).parents[1] / "models/fraud"
NOW = 1_700_000_000.0
ROUTES = {
    ("POST", "/models/{model}/predict"): RECORDS,
    ("POST", "/v2/{proxy+}"): OIP,
}
JSON = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "benchmark"}
#: milliseconds of processor time that a way runs in one round, about
A_ROUND = 30.0

Way = Callable[[], object]
Ways = dict[str, Way]


def served(model: OnnxModel) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """predict's handler for one model, whose stored features are in memory."""
    contract, store = model.contract, MemoryFeatures()
    for feature in contract.stored:
        store.put(contract.entity or "", "13509", feature.name, 1.0, NOW - 30)
    online = Online(
        cache_of(model),
        dict,
        FeatureCache(store, seconds=1e9, clock=time.monotonic),
        PredictionCache(clock=time.monotonic),
        lambda: NOW,
    )
    telemetry = RequestTelemetry(StdoutTelemetry("bench", os.environ))
    table = {route: (partial(of.answer, online), of.failure) for route, of in ROUTES.items()}
    routes = gateway.Routes(table)

    def handle(asked: dict[str, Any]) -> dict[str, Any]:
        return gateway.respond(asked, routes, lambda: telemetry, lambda: "none")

    return handle


def matrix_of(contract: Contract, rows: int) -> NDArray[np.float32]:
    """The values of so many rows of the graph's input, as a request gives them."""
    (graph_input,) = contract.inputs
    shape, random = (rows, len(graph_input.names)), np.random.default_rng(7)
    values = random.normal(size=shape) if contract.name == "bench" else random.uniform(1, 2, shape)
    found: NDArray[np.float32] = values.round(6).astype(np.float32)
    return found


def records_of(contract: Contract, rows: int) -> dict[str, Any]:
    """An event in the records form."""
    records = []
    for values in matrix_of(contract, rows)[:, : len(contract.requested)]:
        record: dict[str, Any] = {
            feature.name: int(value) if feature.categories else round(float(value), 6)
            for feature, value in zip(contract.requested, values, strict=True)
        }
        records.append(record | ({contract.entity: "13509"} if contract.entity else {}))
    body = orjson.dumps({"records": records})
    return event("POST", f"/models/{contract.name}/predict", body, JSON)


def tensor_of(contract: Contract, rows: int, *, raw: bool) -> dict[str, Any]:
    """An event in the Open Inference Protocol: the graph's own input as one tensor."""
    (graph_input,), matrix = contract.inputs, matrix_of(contract, rows)
    tensor: dict[str, Any] = {"name": graph_input.name, "shape": matrix.shape, "datatype": "FP32"}
    if raw:
        tensor["parameters"] = {"binary_data_size": matrix.nbytes}
    else:
        tensor["data"] = matrix
    text = orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
    headers, body = JSON, text
    if raw:
        headers = {**JSON, "Inference-Header-Content-Length": str(len(text))}
        body = text + matrix.tobytes()
    return event("POST", f"/v2/models/{contract.name}/infer", body, headers)


def run_of(model: OnnxModel, rows: int) -> Way:
    """The model's run alone, on so many rows."""
    (graph_input,) = model.contract.inputs
    feed = {graph_input.name: matrix_of(model.contract, rows)}
    return partial(model.run, [output.name for output in model.contract.outputs], feed)


def captured(model: OnnxModel, graph: bytes) -> OnnxModel:
    """The same model with captures."""
    return OnnxModel(replace(model.contract, capture=Capture()), graph)


# ---- the groups: ways that are compared with the first ------------------------------------------


def one(folder: Path) -> dict[str, Ways]:
    """One record of the trees."""
    graph = (folder / "model.onnx").read_bytes()
    trees = OnnxModel(trees_of(30), graph)
    asked = records_of(trees.contract, 1)
    ways: Ways = {
        "session.run": run_of(trees, 1),
        "by hand": partial(by_hand(trees.run, FEATURES), asked, None),
        "Powertools": partial(with_powertools(trees.run, FEATURES), asked, None),
        "records": partial(served(trees), asked),
        "records, captured": partial(served(captured(trees, graph)), asked),
        "OIP, JSON": partial(served(trees), tensor_of(trees.contract, 1, raw=False)),
        "OIP, raw tensor": partial(served(trees), tensor_of(trees.contract, 1, raw=True)),
    }
    return {"trees, 1 row": ways}


def stored(folder: Path) -> dict[str, Ways]:
    """One record of the example with stored features."""
    graph = (FRAUD / "model.onnx").read_bytes()
    model = OnnxModel(replace(contract_of(FRAUD), capture=None), graph)
    asked = records_of(model.contract, 1)
    ways: Ways = {
        "session.run": run_of(model, 1),
        "records": partial(served(model), asked),
        "records, captured": partial(served(captured(model, graph)), asked),
    }
    return {"fraud, 1 row, 7 stored features": ways}


def slow(folder: Path) -> dict[str, Ways]:
    """One record of a model whose run takes some milliseconds."""
    graph = (folder / "model.onnx").read_bytes()
    trees = OnnxModel(trees_of(30), graph)
    rows, run = matrix_of(trees.contract, 1200), trees.run

    def slowly(outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
        run(outputs, {"x": rows})
        return run(outputs, feeds)

    trees.run = slowly
    ways: Ways = {
        "session.run": run_of(trees, 1),
        "records": partial(served(trees), records_of(trees.contract, 1)),
    }
    return {"a run of 4 to 5 ms, 1 row": ways}


def many(folder: Path) -> dict[str, Ways]:
    """Many rows of the trees in each form."""
    found: dict[str, Ways] = {}
    for rows in (100, 1000):
        trees = OnnxModel(trees_of(30), (folder / "model.onnx").read_bytes())
        handle, asked = served(trees), records_of(trees.contract, rows)
        found[f"trees, {rows} rows"] = {
            "session.run": run_of(trees, rows),
            "by hand": partial(by_hand(trees.run, FEATURES), asked, None),
            "records": partial(handle, asked),
            "OIP, JSON": partial(handle, tensor_of(trees.contract, rows, raw=False)),
            "OIP, raw tensor": partial(handle, tensor_of(trees.contract, rows, raw=True)),
        }
    return found


def stream(folder: Path) -> dict[str, Ways]:
    """Records of a stream, from Lambda's event to its answer, without the writes."""
    model = OnnxModel(stream_contract(), (folder / "model.onnx").read_bytes(), threads=1)
    rows, found = np.load(folder / "rows.npy"), dict[str, Ways]()
    for count in (1, 1000):
        found[f"stream, records: {count}"] = {
            "session.run": run_of(model, count),
            "decode, aggregate, score": partial(answered, model, event_of(rows[:count])),
        }
    return found


GROUPS: dict[str, Callable[[Path], dict[str, Ways]]] = {
    "one": one,
    "stored": stored,
    "slow": slow,
    "many": many,
    "stream": stream,
}


# ---- measuring ----------------------------------------------------------------------------------


def mean_ms(way: Way, calls: int) -> float:
    """The processor time of a call, in milliseconds, over so many."""
    begun = time.process_time()
    for _ in range(calls):
        way()
    return (time.process_time() - begun) * 1000 / calls


def measured(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """The mean processor time of a call of each way, in milliseconds, in each round."""
    calls = {}
    for name, way in ways.items():
        answer = way()
        assert not isinstance(answer, dict) or answer["statusCode"] == 200, answer
        mean_ms(way, 20)
        calls[name] = max(3, int(A_ROUND / max(mean_ms(way, 3), 1e-3)))
    gc.collect()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(mean_ms(way, calls[name]))
    return found


def show(title: str, found: dict[str, list[float]]) -> None:
    """Print the rows of a group."""
    base = found["session.run"]
    for name, times in found.items():
        added = statistics.median(t - b for t, b in zip(times, base, strict=True))
        ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
        middle, least = statistics.median(times), min(times)
        figures = f"{middle:.4f} | {least:.4f} | {added:+.3f} | {ratio:.2f}x"
        print(f"| {title} | {name} | {figures} |", flush=True)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    given = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| what | way | ms | least | more than session.run, ms | times |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, 1000)
        for group in given.only:
            # log lines go to the null device
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                found = {
                    title: measured(ways, given.rounds)
                    for title, ways in GROUPS[group](folder).items()
                }
            for title, times in found.items():
                show(title, times)


if __name__ == "__main__":
    main()
