"""How many modules and calls of the package a record passes: what is added shows here."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row
from tests.kits.models import GRAPHS, NOW, Clock, event
from tests.kits.recommending import Shop, Told
from tests.kits.streams import METER, reading
from tests.kits.streams import NOW as STREAM_NOW
from tests.kits.streams import data as stream_data
from tests.kits.streams import event as stream_event

import quintet
from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.batch.plans import Plan
from quintet.contract import Capture, Contract, Slo
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import RECORDS
from quintet.serving import ModelRoute, Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.predict import predict
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet.streaming import kinesis_events
from quintet.streaming.decoding import decode
from quintet.streaming.windows import MemoryWindows, advance
from quintet_publish.kit import contract_of

PACKAGE = str(Path(quintet.__file__).parent)
#: an invocation that X-Ray samples, beside a daemon that does not listen
SAMPLED = {
    "_X_AMZN_TRACE_ID": f"Root=1-{'a' * 8}-{'b' * 24};Parent={'c' * 16};Sampled=1",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
}
FRAUD = Path(__file__).parents[2] / "models/fraud"


def calls_of(run: Callable[[], object]) -> Counter[str]:
    """The calls into each file of the package while something runs, in threads that it starts too.

    The profiler sees no call that functools' caches answer.
    """
    found: Counter[str] = Counter()

    def profile(frame: FrameType, what: str, _: object) -> None:
        file = frame.f_code.co_filename
        # comprehensions and generators are frames of their own in 3.11 alone
        if what == "call" and file.startswith(PACKAGE) and frame.f_code.co_name[0] != "<":
            found[file.removeprefix(PACKAGE)] += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


class Loader:
    """Loads the example model `fraud` under a contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        return OnnxModel(self._contract, (FRAUD / "model.onnx").read_bytes())


def fraud(capture: Capture | None) -> Online:
    """The model `fraud` as `predict` serves it, over a feature store in memory."""
    # no request is slow, which would be another line: the first loads the model, and others wait
    slo = Slo(p95_ms=1e9)
    contract, clock = replace(contract_of(FRAUD), capture=capture, slo=slo), Clock()
    route = Route("fraud", 1, 1, {1: Version(1, "d", "s", 1000, "now")})
    store = MemoryFeatures()
    for feature in contract.stored:
        store.put(contract.entity or "", "13509", feature.name, 1.0, NOW - 60)
    return Online(
        ModelCache(MemoryRoutes([route]), Loader(contract), memory=10**9, clock=clock),
        lambda: {"fraud": [1]},
        FeatureCache(store, seconds=5, clock=clock),
        PredictionCache(clock=clock),
        clock,
    )


@pytest.mark.parametrize(
    ("environ", "capture", "modules", "calls"),
    [({}, None, 12, 45), ({}, Capture(), 15, 58), (SAMPLED, None, 14, 52)],
    ids=["plain", "captured", "sampled"],
)
def test_a_warm_record_passes_few_modules_and_calls(
    environ: dict[str, str], capture: Capture | None, modules: int, calls: int
) -> None:
    telemetry = RequestTelemetry(StdoutTelemetry("test", environ))
    handle = partial(RECORDS.answer, fraud(capture))
    routes = gateway.Routes({("POST", "/models/{model}/predict"): (handle, RECORDS.failure)})
    record = (FRAUD / "data/requests.jsonl").read_text().splitlines()[0]
    body = f'{{"records": [{record}]}}'
    asked = event("POST", "/models/fraud/predict", body, {"Content-Type": "application/json"})

    def run() -> dict[str, Any]:
        return gateway.respond(asked, routes, lambda: telemetry, lambda: "none")

    response = run()
    assert json.loads(response["body"])["predictions"][0]["fallback"] is False
    found = calls_of(run)
    assert len(found) < modules, found
    assert found.total() < calls, found


def test_a_warm_recommendation_passes_few_calls_however_many_candidates_there_are() -> None:
    shop = Shop()
    shop.has("u1", range(1, 41), [1.0] * 40)

    def run() -> Told:
        return shop.post("u1", {"items": [25, 5]})

    assert run().body["step"] == "reranked"
    found = calls_of(run)
    assert len(found) < 28, found
    assert found.total() < 110, found


def test_a_record_alone_in_its_invocation_of_a_stream_passes_few_calls() -> None:
    """From Lambda's event to its answer, without the writes."""
    model, windows = OnnxModel(METER, GRAPHS["log"]()), MemoryWindows()
    record = stream_event([stream_data(reading(y=1.0))], window=STREAM_NOW)

    def run() -> Any:
        batch, window = kinesis_events.shard_batch(record), kinesis_events.tumbling(record)
        assert window is not None
        ((_, rows),) = decode(batch, lambda name: model).by_model
        (found,) = predict(ModelRoute(model), rows.batch, MemoryFeatures(), NOW, isolate="rows")
        assert found.scores.index.tolist() == [0]
        return kinesis_events.answer(advance(window, batch, [rows], windows).state, None)

    assert run()["state"]["models"]["log"]["entities"] == ["m1"]
    found = calls_of(run)
    assert len(found) < 20, found
    assert found.total() < 48, found


def test_a_batch_row_passes_few_modules() -> None:
    """In an environment that has scored a unit before: what is compiled once is compiled.

    The ports are in memory here; their module stands for AWS's and does not count. Neither does
    the memory that is given back once a file.
    """
    bench = Bench()
    body = csv_bytes([row(number) for number in range(100)])
    first, second = (bench.plan(f"{CONTRACT.name}/{name}.csv", body) for name in "ab")
    bench.score(first)
    assert isinstance(second, Plan)
    found = calls_of(lambda: bench.score(second))
    del found["/batch/stores.py"]
    assert found.pop("/batch/memory.py") == 1
    assert len(found) < 18, found
