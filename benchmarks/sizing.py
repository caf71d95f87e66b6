"""What `quintet size` predicts compared with runs: python -m benchmarks.sizing

Runs the built predict function in AWS's Runtime Interface Emulator, with rows that were not
measured, under the quotas that were (control groups, as root). Requires a build by `make
test-built`, and python3.13 on PATH. A bare handler shows what the runtime itself adds. Predictions
and runs take turns, and the block of calls that was disturbed least counts, as in `quintet size`.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
from benchmarks.online_setup import ROOT, served_model
from benchmarks.reports import options, report
from tests.built.artefacts import built
from tests.built.emulator import ARCHITECTURE, INVOKE, Emulator, emulated
from tests.kits.local_aws import LocalAws
from tests.kits.models import event

from quintet.serving.golden import golden_from_dict, records_of
from quintet_cli.sizing.assumed import REQUEST_LOG
from quintet_cli.sizing.curves import Measured
from quintet_cli.sizing.measuring import Subject, measure, of_package
from quintet_cli.sizing.plan import function_ms
from quintet_cli.sizing.quota import limited
from quintet_local.server import CONTAINERS_HOST, HOST

ROWS = (5, 50, 500)
VCPUS = (1.0, 0.5, 0.25)
TURNS = 2
BLOCK_SECONDS, POINT_SECONDS = 0.3, 3.0
#: writes as much into the log as predict does
BARE = f"""
def handler(event, context):
    print("{"x" * (REQUEST_LOG // 2)}", flush=True)
    print("{"x" * (REQUEST_LOG // 2)}", flush=True)
    return {{"statusCode": 200, "body": "", "headers": event["headers"]}}
"""


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "sizing")
    parser.add_argument("--model", default="churn", help="an example model without stored features")
    asked = parser.parse_args()
    subject = of_package(ROOT / "models" / asked.model)
    runs: dict[tuple[float, int], list[float]] = {}
    predicted: dict[tuple[float, int], list[float]] = {}
    bare: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as scratch, served_model(asked.model) as local:
        for turn in range(TURNS):
            measured = measure(subject)
            for key, ms in _predictions(measured):
                predicted.setdefault(key, []).append(ms)
            for key, ms in _runs(subject, local, Path(scratch) / str(turn)):
                runs.setdefault(key, []).append(ms)
            bare.append(_bare(Path(scratch) / f"bare{turn}"))
    rows = [_row(key, min(predicted[key]), min(runs[key])) for key in runs]
    wall, cpu = min(bare)
    note = (
        f"model {asked.model}; {TURNS} turns; a handler that only logs takes {wall:.2f} ms, "
        f"its process {cpu:.2f} of them; {ARCHITECTURE}"
    )
    report("sizing", rows, note, write=asked.write)


def _row(key: tuple[float, int], predicted: float, run: float) -> dict[str, Any]:
    vcpus, rows = key
    return {
        "vCPUs": vcpus,
        "rows": rows,
        "predicted_ms": round(predicted, 2),
        "run_ms": round(run, 2),
        "of the run": f"{predicted / run:.2f}x",
    }


def _predictions(measured: Measured) -> Iterator[tuple[tuple[float, int], float]]:
    for curve in measured.curves:
        for rows in ROWS:
            yield (curve.vcpus, rows), function_ms(curve, rows, stored=False)


def _runs(
    subject: Subject, local: LocalAws, scratch: Path
) -> Iterator[tuple[tuple[float, int], float]]:
    function, name = built(ARCHITECTURE).functions["Predict"], subject.contract.name
    told = json.loads((local.state / "sam-env.json").read_text(encoding="utf-8"))["Predict"]
    variables = {key: value.replace(CONTAINERS_HOST, HOST) for key, value in told.items()}
    path = [function.code, *(layer / "python" for layer in function.layers)]
    golden = golden_from_dict(subject.golden)
    asked = {}
    for rows in ROWS:
        records, _ = records_of(subject.contract, golden.repeated(rows).columns, 0.0)
        body = json.dumps({"records": records})
        asked[rows] = json.dumps(event("POST", f"/models/{name}/predict", body)).encode()
    with emulated("app.handler", path, variables, scratch) as emulator:
        line = http.client.HTTPConnection(HOST, emulator.port)
        for one in asked.values():
            _call(line, one)
        for vcpus in VCPUS:
            with limited(vcpus, _child(emulator)) if vcpus < 1 else nullcontext():
                for rows, one in asked.items():
                    yield (vcpus, rows), _ms(line, one, vcpus)


def _bare(scratch: Path) -> tuple[float, float]:
    """Return the milliseconds of a call without a model, and those of its process's CPU."""
    scratch.mkdir(parents=True)
    (scratch / "app.py").write_text(BARE, encoding="utf-8")
    with emulated("app.handler", [scratch], {}, scratch / "elsewhere") as emulator:
        line = http.client.HTTPConnection(HOST, emulator.port)
        asked = json.dumps(event("POST", "/models/any/predict", "{}")).encode()
        _call(line, asked)
        child = psutil.Process(_child(emulator))
        before = sum(child.cpu_times()[:2])
        took = _undisturbed(line, asked)
        calls = len(took)
        cpu = (sum(child.cpu_times()[:2]) - before) / calls * 1000
        return sorted(took)[calls // 10], cpu


def _child(emulator: Emulator) -> int:
    (child,) = psutil.Process(emulator.pid).children()
    return child.pid


def _ms(line: http.client.HTTPConnection, asked: bytes, vcpus: float) -> float:
    """Return the milliseconds of a call.

    At a whole vCPU that is the tenth percentile, which other processes did not disturb. Under a
    quota a call has its share of the waiting only in the mean of a block.
    """
    if vcpus < 1:
        return _fastest_block(line, asked)
    took = sorted(_undisturbed(line, asked))
    return took[len(took) // 10]


def _undisturbed(line: http.client.HTTPConnection, asked: bytes) -> list[float]:
    took, until = [], time.monotonic() + POINT_SECONDS
    while time.monotonic() < until:
        start = time.perf_counter()
        _call(line, asked)
        took.append((time.perf_counter() - start) * 1000)
    return took


def _fastest_block(line: http.client.HTTPConnection, asked: bytes) -> float:
    best, until = float("inf"), time.monotonic() + POINT_SECONDS
    while time.monotonic() < until:
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < BLOCK_SECONDS:
            _call(line, asked)
            calls += 1
        best = min(best, (time.perf_counter() - start) / calls * 1000)
    return best


def _call(line: http.client.HTTPConnection, asked: bytes) -> None:
    line.request("POST", INVOKE, asked)
    answer = line.getresponse().read()
    assert b'"statusCode": 200' in answer[:100], answer[:300]


if __name__ == "__main__":
    main()
