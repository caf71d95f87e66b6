"""What a rollout adds to a request of predict: python -m benchmarks.rollout_overhead

In one process, from event to response, over stores in memory, with the model `fraud` and its
captures. The ways take turns in every round, in another order, and processor time is measured. A
canary answers half of the customers: a request of one row is answered by one version, one of many
rows by both.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from benchmarks.reports import options, report
from tests.kits.models import Clock, event

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import Capture, Contract
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import RECORDS
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet_publish.kit import contract_of

FRAUD = Path(__file__).parents[1] / "models/fraud"
NO_ROLLOUT = Route("fraud", 1, 1, {n: Version(n, "digest", "seal", 1000, "now") for n in (1, 2)})
WAYS = {
    "no rollout": NO_ROLLOUT,
    "shadow": replace(NO_ROLLOUT, shadow=2, rollout="r1", step=-1),
    "canary": replace(NO_ROLLOUT, canary=2, canary_share=0.5, rollout="r1", step=1),
}


class Loader:
    """Both versions are the same graph."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        contract = replace(self._contract, version=version)
        return OnnxModel(contract, (FRAUD / "model.onnx").read_bytes(), threads=1)


def handler(route: Route, rows: int) -> Callable[[], Any]:
    """A request of so many rows, by a route."""
    contract, clock = replace(contract_of(FRAUD), capture=Capture()), Clock(time.time())
    lines = (FRAUD / "data/requests.jsonl").read_text().splitlines()
    records = [orjson.loads(line) for line in lines[:rows]]
    store = MemoryFeatures()
    for record in records:
        for feature in contract.stored:
            key = contract.entity or ""
            store.put(key, str(record[key]), feature.name, 1.0, clock.now - 60)
    telemetry = RequestTelemetry(StdoutTelemetry("bench", {}))
    online = Online(
        ModelCache(MemoryRoutes([route]), Loader(contract), memory=10**9, clock=clock),
        lambda: {"fraud": [1, 2]},
        FeatureCache(store, seconds=5, clock=clock),
        PredictionCache(clock=clock),
        clock,
        begin=telemetry.begin,
    )
    table = {
        ("POST", "/models/{model}/predict"): (partial(RECORDS.answer, online), RECORDS.failure)
    }
    asked = event(
        "POST",
        "/models/fraud/predict",
        orjson.dumps({"records": records}),
        {"Content-Type": "application/json"},
    )
    return partial(gateway.respond, asked, gateway.Routes(table), lambda: telemetry, lambda: "none")


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "rollout_overhead")
    parser.add_argument("--rounds", type=int, default=2000)
    given = parser.parse_args()
    rounds = given.rounds
    found = []
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere  # log lines are written to the null device
        for rows in (1, 100):
            ways = {name: handler(route, rows) for name, route in WAYS.items()}
            times: dict[str, list[float]] = {name: [] for name in ways}
            for way in ways.values():
                assert way()["statusCode"] == 200
            gc.collect()
            order = deque(ways.items())
            for _ in range(rounds if rows == 1 else rounds // 10):
                order.rotate(1)
                for name, way in order:
                    begun = time.process_time_ns()
                    way()
                    times[name].append((time.process_time_ns() - begun) / 1e6)
            base = times["no rollout"]
            for name, took in times.items():
                ratio = statistics.median(a / b for a, b in zip(took, base, strict=True))
                cpu = {"cpu_ms (p50)": round(statistics.median(took), 4)}
                found.append({"rows": rows, "way": name, **cpu, "ratio": round(ratio, 3)})
        sys.stdout = sys.__stdout__
    report(
        "rollout_overhead",
        found,
        f"{rounds} rounds; processor time; model fraud",
        write=given.write,
    )


if __name__ == "__main__":
    main()
