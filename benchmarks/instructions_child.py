"""The process whose instructions `benchmarks.instructions` counts.

It loads what `predict` does, but for AWS's clients, and answers from ports in memory. Its model is
beside the code and, as where a caller waits, has two golden rows checked. After the cold start it
scores a batch of a stream, too.
"""

from __future__ import annotations

from quintet import coldstart  # first, as in functions/predict

# ruff: isort: split
import base64
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import from_dict
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import OIP, RECORDS
from quintet.serving import Online, PredictionCache, golden
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet.wiring.predict import EARLY_GOLDEN_ROWS

coldstart.started()

NOW = 1_700_000_000.0
#: Python specialises code in its first calls
WARM_UP, REQUESTS = 20, 5
GRAPH = Path(__file__).parents[1] / "models/fraud/model.onnx"
RECORD = {
    **dict.fromkeys(("amount", "lines", "items", "dearest", "bulk", "hour", "weekday"), 1.5),
    "abroad": 0,
    "customer_id": "13509",
}


class Loader:
    """Loads the example model, with captures or without.

    `folder` holds its contract and its golden rows as JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.contract: dict[str, Any] = json.loads((folder / "contract.json").read_text())
        vectors = golden.golden_from_dict(json.loads((folder / "golden.json").read_text()))
        self.vectors = vectors.head(EARLY_GOLDEN_ROWS)

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        capture = self.contract["capture"] if model == "captured" else None
        # no request is slow, which would be another line, whatever the load of the machine
        slo = {**self.contract["slo"], "p95_ms": 1e9}
        contract = {**self.contract, "name": model, "capture": capture, "slo": slo}
        loaded = OnnxModel(from_dict(contract), GRAPH.read_bytes())
        assert golden.check(loaded, self.vectors) == []
        return loaded


def event(path: str, body: bytes, length: int | None = None) -> dict[str, Any]:
    """An event of API Gateway."""
    headers = {"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "benchmark"}
    if length is not None:
        headers["Inference-Header-Content-Length"] = str(length)
    prefix, _, rest = path[1:].partition("/")
    return {
        "httpMethod": "POST",
        "resource": f"/{prefix}/{{proxy+}}",
        "path": path,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "pathParameters": {"proxy": rest},
        "requestContext": {"requestId": "r", "identity": {"userArn": "arn:aws:iam::1:user/u"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def tensors(rows: int, *, raw: bool) -> dict[str, Any]:
    """A request in the Open Inference Protocol, a tensor for each feature."""
    inputs: list[dict[str, Any]] = []
    pieces = b""
    for name, value in RECORD.items():
        tensor: dict[str, Any] = {"name": name, "shape": [rows], "datatype": "FP32"}
        if isinstance(value, str):
            tensor |= {"datatype": "BYTES", "data": [value] * rows}
        elif raw:
            pieces += np.full(rows, value, "<f4").tobytes()
            tensor["parameters"] = {"binary_data_size": 4 * rows}
        else:
            tensor["data"] = [value] * rows
        inputs.append(tensor)
    head = json.dumps({"inputs": inputs}).encode()
    return event("/v2/models/plain/infer", head + pieces, len(head) if raw else None)


def records(model: str, rows: int) -> dict[str, Any]:
    """A request in the records form."""
    body = json.dumps({"records": [RECORD] * rows}).encode()
    return event(f"/models/{model}/predict", body)


def streamed(loader: Loader, features: MemoryFeatures) -> Callable[[], None]:
    """What scores a batch of one record, from Lambda's event to its answer, without the writes."""
    from quintet.serving import ModelRoute
    from quintet.serving.predict import predict
    from quintet.streaming import kinesis_events
    from quintet.streaming.decoding import decode
    from quintet.streaming.windows import MemoryWindows, advance

    model = loader.load("plain", 1)
    record = {"model": "plain", "records": [{**RECORD, "placed": NOW}]}
    kinesis = {
        "partitionKey": "13509",
        "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "data": base64.b64encode(json.dumps(record).encode()).decode(),
        "approximateArrivalTimestamp": NOW,
    }
    asked = {
        "Records": [{"kinesis": kinesis, "eventSourceARN": "arn:aws:kinesis:a:1:stream/events"}],
        "window": {"start": "2023-11-14T22:13:00Z", "end": "2023-11-14T22:13:30Z"},
        "state": {},
        "shardId": "shardId-000000000000",
    }
    windows = MemoryWindows()

    def score() -> None:
        batch, window = kinesis_events.shard_batch(asked), kinesis_events.tumbling(asked)
        assert window is not None
        ((_, rows),) = decode(batch, lambda name: model).by_model
        (found,) = predict(ModelRoute(model), rows.batch, features, NOW, isolate="rows")
        assert len(found.scores.index) == 1, found.scores.refusals
        kinesis_events.answer(advance(window, batch, [rows], windows).state, None)

    return score


def answering(loader: Loader, store: MemoryFeatures) -> Callable[[dict[str, Any]], None]:
    """What answers an event, with the features of a store."""
    for feature in from_dict(loader.contract).stored:
        store.put("customer_id", "13509", feature.name, 1.0, NOW - 30)
    versions = {1: Version(1, "d", "s", 1000, "now")}
    online = Online(
        ModelCache(
            MemoryRoutes([Route(name, 1, 1, versions) for name in ("plain", "captured")]),
            loader,
            memory=10**9,
            clock=lambda: NOW,
        ),
        dict,
        FeatureCache(store, seconds=5, clock=lambda: NOW),
        PredictionCache(clock=lambda: NOW),
        lambda: NOW,
    )
    telemetry = RequestTelemetry(StdoutTelemetry("benchmark", {}, lambda: NOW))
    routes = gateway.Routes(
        {
            ("POST", "/models/{model}/predict"): (partial(RECORDS.answer, online), RECORDS.failure),
            ("POST", "/v2/{proxy+}"): (partial(OIP.answer, online), OIP.failure),
        }
    )

    def answer(asked: dict[str, Any]) -> None:
        answered = gateway.respond(asked, routes, lambda: telemetry, lambda: "iam")
        assert answered["statusCode"] == 200, answered

    return answer


def main() -> None:
    """Answer, and call getppid before and after each part."""
    folder = Path(sys.argv[1])
    loader, store = Loader(folder), MemoryFeatures()
    answer = answering(loader, store)
    asked = {
        "records": records("plain", 1),
        "records, captured": records("captured", 1),
        "OIP, JSON": tensors(1, raw=False),
        "OIP, raw tensors": tensors(1, raw=True),
        "records, 100 rows": records("plain", 100),
        "OIP, JSON, 100 rows": tensors(100, raw=False),
        "OIP, raw tensors, 100 rows": tensors(100, raw=True),
    }
    answer(asked["records"])
    parts: list[str | None] = ["cold start"]
    os.getppid()
    ways: dict[str, Callable[[], None]] = {
        **{name: partial(answer, one) for name, one in asked.items()},
        "stream, 1 record": streamed(loader, store),
    }
    for name, way in ways.items():
        for _ in range(WARM_UP):
            way()
        parts += [None, name]
        os.getppid()
        for _ in range(REQUESTS):
            way()
        os.getppid()
    (folder / "parts.json").write_text(json.dumps(parts))


if __name__ == "__main__":
    main()
