"""What predict's handler adds to session.run: python -m benchmarks.predict_overhead

In one process, with the same model and rows, the ways take turns in every round. From event to
response: decoding, stored features (in the environment's memory, except for one read in 5 s),
validation, the run, encoding, the log line, the metrics and the capture. Processor time.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.online_setup import MODEL, environment, handler, records, served_model
from benchmarks.reports import milliseconds, options, report
from tests.kits.models import event

#: rounds by the number of rows
ROUNDS = {1: 2000, 100: 400, 1000: 60}


def oip_body(rows: list[dict[str, Any]], raw: bool) -> tuple[bytes, dict[str, str]]:
    """Return the rows as one tensor per feature, in JSON or as raw bytes."""
    inputs, pieces = [], []
    for name in rows[0]:
        text = isinstance(rows[0][name], str)
        tensor: dict[str, Any] = {
            "name": name,
            "shape": [len(rows)],
            "datatype": "BYTES" if text else "FP32",
        }
        if raw and not text:
            pieces.append(np.array([row[name] for row in rows], dtype="<f4").tobytes())
            tensor["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            tensor["data"] = [row[name] for row in rows]
        inputs.append(tensor)
    head = json.dumps({"inputs": inputs}).encode()
    if not raw:
        return head, {"Content-Type": "application/json"}
    return head + b"".join(pieces), {"Inference-Header-Content-Length": str(len(head))}


def main() -> None:
    """Measure and report."""
    given = options(__doc__, "predict_overhead").parse_args()
    with served_model() as local:
        answer = handler(environment(local))
        from quintet.wiring import predict as wiring

        model: Any = wiring.online().models.get(MODEL)
        outputs = [output.name for output in model.contract.outputs]
        found = []
        for count in ROUNDS:
            rows = records(count)
            feed = {
                i.name: np.ones((count, len(i.features or ())), dtype=np.float32)
                for i in model.contract.inputs
            }
            json_type = {"Content-Type": "application/json"}
            bodies = {
                "records": (
                    f"/models/{MODEL}/predict",
                    json.dumps({"records": rows}).encode(),
                    json_type,
                ),
                "OIP, JSON": (f"/v2/models/{MODEL}/infer", *oip_body(rows, raw=False)),
                "OIP, raw tensors": (f"/v2/models/{MODEL}/infer", *oip_body(rows, raw=True)),
            }
            session = model._session
            ways: dict[str, Callable[[], Any]] = {
                "session.run": partial(session.run, outputs, feed)
            }
            for name, (path, body, headers) in bodies.items():
                asked = event("POST", path, body, headers)
                assert answer(asked, None)["statusCode"] == 200
                ways[name] = partial(answer, asked, None)
            found += measure(ways, count)
    report("predict_overhead", found, f"rounds by rows: {ROUNDS}; model {MODEL}", write=given.write)


def measure(ways: dict[str, Callable[[], Any]], count: int) -> list[dict[str, Any]]:
    """Time every way, in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere  # log lines are written to the null device
        for _ in range(ROUNDS[count]):
            for name, way in ways.items():
                started = time.process_time()
                way()
                times[name].append(time.process_time() - started)
        sys.stdout = sys.__stdout__
    base = milliseconds(times["session.run"], 50)["p50_ms"]
    found = []
    for name, seconds in times.items():
        took = milliseconds(seconds, 50, 99)
        added = {"added_ms (p50)": round(took["p50_ms"] - base, 4)}
        added["of session.run"] = round(took["p50_ms"] / base, 2)
        found.append({"rows": count, "way": name, **took, **added})
    return found


if __name__ == "__main__":
    main()
