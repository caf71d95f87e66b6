"""Measures predict's handler in this process: `python -m quintet_cli.sizing.child JOB.json`

The handler is the one of functions/predict, with its registry and feature store in memory. Prints
one JSON object; the handler's log lines go nowhere.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from quintet.columns import Array
from quintet.contract import Contract, from_dict
from quintet.features import FeatureCache, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.serving import Online, PredictionCache
from quintet.serving.golden import Golden, golden_from_dict, records_of
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet_cli.sizing.curves import Curve, Point
from quintet_cli.sizing.quota import NoQuota, limited
from quintet_publish.full_request import peak_memory

__all__ = ["main"]

#: rows that are measured, as far as one request may have them
ROWS = (1, 10, 100, 1000)
#: seconds of calls in a row, of which the block that was disturbed least counts: many periods of a
#: quota
BLOCK_SECONDS = 0.3
#: a larger request goes through S3; API Gateway's limit, in base64
MAX_BODY = 4_500_000

#: each call is traced, as X-Ray samples them at one a second; above that it takes fewer
TRACE = "Root=1-65536a00-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


class Timed:
    """A model that adds up the time of its runs."""

    due: Callable[[], None] | None = None  # its golden rows were checked before

    def __init__(self, model: OnnxModel) -> None:
        self.contract = model.contract
        self.digest = model.digest
        self.seconds = 0.0
        self.clock = time.perf_counter
        self._model = model

    def run(self, outputs: Sequence[str], feeds: dict[str, Array], /) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        start = self.clock()
        try:
            return self._model.run(outputs, feeds)
        finally:
            self.seconds += self.clock() - start


@dataclass(frozen=True)
class Bench:
    """A handler with its model, and the bodies of requests by their rows."""

    handler: Handler
    model: Timed
    bodies: dict[int, bytes]

    def event(self, rows: int) -> bytes:
        """API Gateway's event with so many rows."""
        return _event(self.model.contract.name, self.bodies[rows])


class _Shelf:
    """A loader of the one model."""

    def __init__(self, model: Timed) -> None:
        self._model = model

    def load(self, model: str, version: int, seal: str | None = None) -> Timed:
        """See `quintet.serving.model_cache.Loader.load`."""
        return self._model


def main() -> None:
    """Measure what the job names."""
    os.environ["_X_AMZN_TRACE_ID"] = TRACE
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sink, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    contract, golden = from_dict(job["contract"]), golden_from_dict(job["golden"])
    model = Timed(OnnxModel(contract, Path(job["graph"]).read_bytes(), threads=1))
    bodies, store = _bodies(contract, golden)
    bench = Bench(_handler(Path(job["handler"]), model, store), model, bodies)
    _checked(bench.handler, bench.event(1))
    cold_ms = (time.time() - psutil.Process().create_time()) * 1000
    seconds = job["seconds"] / (1 + len(job["quotas"]))
    wall, busy = time.perf_counter(), time.process_time()
    full = _curve(1.0, bench, seconds)
    share = (time.process_time() - busy) / (time.perf_counter() - wall)
    limited_ones, no_quota = _limited(full, bench, job["quotas"], seconds)
    found = {
        "curves": [curve.model_dump() for curve in (full, *limited_ones)],
        "no_quota": no_quota,
        "processor_share": round(min(share, 1.0), 2),
        "cold_ms": round(cold_ms, 1),
        "memory_mb": round(peak_memory() / 1e6, 1),
    }
    print(json.dumps(found), file=sink)


def _bodies(contract: Contract, golden: Golden) -> tuple[dict[int, bytes], MemoryFeatures]:
    """The bodies of requests by their rows, and the stored features that they need."""
    most = min(contract.limits.rows, ROWS[-1])
    records, store = records_of(contract, golden.repeated(most).columns, time.time())
    bodies = {}
    for rows in sorted({rows for rows in ROWS if rows < most} | {most}):
        body = json.dumps({"records": records[:rows]}).encode()
        if len(body) <= min(contract.limits.bytes, MAX_BODY) or rows == 1:
            bodies[rows] = body
    return bodies, store


def _limited(
    full: Curve, bench: Bench, quotas: Sequence[float], seconds: float
) -> tuple[list[Curve], str | None]:
    """A curve for each quota, and why they are calculated if they cannot be measured."""
    try:
        curves = []
        for vcpus in quotas:
            with limited(vcpus):
                curves.append(_curve(vcpus, bench, seconds))
        return curves, None
    except NoQuota as error:
        return [full.slowed(vcpus) for vcpus in quotas], str(error)


def _curve(vcpus: float, bench: Bench, seconds: float) -> Curve:
    """Measure a point for each number of rows; the largest are left out once time is up."""
    until = time.monotonic() + seconds
    # a whole processor is this process's, whatever others do; waiting is what a quota costs
    clock = time.perf_counter if vcpus < 1 else time.process_time
    points: list[Point] = []
    for left, (rows, body) in zip(
        range(len(bench.bodies), 0, -1), bench.bodies.items(), strict=True
    ):
        remaining = until - time.monotonic()
        if points and remaining <= 0:
            break
        ms, model_ms = _least_disturbed(bench, rows, remaining / left, clock)
        size = len(body)
        points.append(
            Point(rows=rows, ms=round(ms, 4), model_ms=round(model_ms, 4), request_bytes=size)
        )
    return Curve(vcpus=vcpus, points=tuple(points))


def _least_disturbed(
    bench: Bench, rows: int, seconds: float, clock: Callable[[], float]
) -> tuple[float, float]:
    """The mean milliseconds of a call and of its run, in the fastest block of calls."""
    deadline = time.monotonic() + seconds
    model, event = bench.model, bench.event(rows)
    _checked(bench.handler, event)
    model.clock = clock
    best = (float("inf"), 0.0)
    while True:
        calls, model.seconds, start, until = 0, 0.0, clock(), time.monotonic() + BLOCK_SECONDS
        while time.monotonic() < until or not calls:
            _call(bench.handler, event)
            calls += 1
        took = clock() - start
        best = min(best, (took / calls * 1000, model.seconds / calls * 1000))
        if time.monotonic() >= deadline:
            return best


def _call(handler: Handler, event: bytes) -> bytes:
    """What a call costs the function's process: the runtime reads and writes JSON around it."""
    return json.dumps(handler(json.loads(event), None)).encode()


def _checked(handler: Handler, event: bytes) -> None:
    answer = json.loads(_call(handler, event))
    if answer["statusCode"] != 200:
        body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
        raise SystemExit(f"the handler answered {answer['statusCode']}: {body[:500]!r}")


def _event(model: str, body: bytes) -> bytes:
    """API Gateway's event for a request with records."""
    event = {
        "resource": "/models/{model}/predict",
        "path": f"/models/{model}/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "queryStringParameters": None,
        "pathParameters": {"model": model},
        "stageVariables": None,
        "requestContext": {
            "requestId": "size",
            "stage": "size",
            "identity": {"userArn": None, "accountId": None},
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    return json.dumps(event).encode()


def _handler(path: Path, model: Timed, store: MemoryFeatures) -> Handler:
    """predict's handler; its wiring finds the one model and the features in memory."""
    from quintet.wiring import predict as wiring

    contract = model.contract
    versions = {contract.version: Version(contract.version, "d", "s", 1000, "now")}
    route = Route(contract.name, contract.version, 1, versions)
    service = Online(
        ModelCache(MemoryRoutes([route]), _Shelf(model), memory=2**62, clock=time.monotonic),
        lambda: {contract.name: [contract.version]},
        FeatureCache(store, seconds=5.0, clock=time.monotonic),
        PredictionCache(most=0, clock=time.monotonic),
        time.time,
    )
    wiring.online = lambda: service  # type: ignore[assignment]
    spec = importlib.util.spec_from_file_location("app", path)
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    found: Handler = app.handler
    return found


if __name__ == "__main__":
    main()
