"""predict's cold start compared with the minimum: python -m benchmarks.cold_start

Each figure is of a fresh process, from its start to the end of its last step: its wall time, and
its processor time, which other work on the machine changes less. Medians of interleaved rounds with
the page cache warm; ratios are of one round. predict's services are the local AWS's.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.instructions import write_model
from benchmarks.online_setup import MODEL, ROOT, environment, records, served_model
from benchmarks.reports import milliseconds, options, report
from tests.kits.models import event

ROUNDS = 15

FLOOR = f"""
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
model = onnxruntime.InferenceSession({str(ROOT / "models" / MODEL / "model.onnx")!r}, options)
(tensor,) = model.get_inputs()
rows = numpy.ones((1, tensor.shape[1]), dtype=numpy.float32)
model.run(None, {{tensor.name: rows}})
"""
FLOOR_NAME = "numpy + onnxruntime + session + run"
IMPORT = "import app"
ANSWER = """
import json, sys
event = json.loads(sys.stdin.read())
import app
answer = app.handler(event, None)
assert answer["statusCode"] == 200, answer
"""
BESIDE = """
from benchmarks.instructions_child import Loader, MemoryFeatures, Path, answering, records, sys
answering(Loader(Path(sys.stdin.read())), MemoryFeatures())(records("plain", 1))
"""
BOTO3 = "import numpy, onnxruntime, boto3; boto3.client('s3'); boto3.client('dynamodb')"


def main() -> None:
    """Measure and report."""
    given = options(__doc__, "cold_start").parse_args()
    with served_model() as local, tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        environ = {**environment(local), "PATH": os.environ["PATH"], "PYTHONPATH": _path()}
        lazy = {name: value for name, value in environ.items() if name != "QUINTET_PRELOAD"}
        body = json.dumps({"records": records(1)}).encode()
        asked = json.dumps(event("POST", f"/models/{MODEL}/predict", body))
        steps: dict[str, tuple[str, dict[str, str]]] = {
            "python, nothing": ("pass", lazy),
            FLOOR_NAME: (FLOOR, lazy),
            "the same imports + boto3's clients": (BOTO3, lazy),
            "predict: import, which loads no onnxruntime": (IMPORT, lazy),
            "predict's code, the model beside it: first answer without AWS": (BESIDE, lazy),
            "predict: init (import, registry, model, golden rows)": (IMPORT, environ),
            "predict: init and first answer (stored features)": (ANSWER, environ),
        }
        times: dict[str, list[Took]] = {name: [] for name in steps}
        for round_number in range(ROUNDS + 1):
            for name, (script, variables) in steps.items():
                took = run(script, variables, folder if script is BESIDE else asked)
                if round_number:  # the first warms the page cache
                    times[name].append(took)
    floor = times[FLOOR_NAME]
    rows: list[dict[str, Any]] = [
        {
            "process": name,
            **milliseconds([took.wall for took in took_all], 50, 90),
            "of the floor": ratio(took_all, floor, "wall"),
            "processor ms": round(median(took.processor for took in took_all) * 1000, 1),
            "of the floor's": ratio(took_all, floor, "processor"),
        }
        for name, took_all in times.items()
    ]
    report(
        "cold_start", rows, f"{ROUNDS} rounds; model {MODEL}; .pyc as by default", write=given.write
    )


class Took(NamedTuple):
    """Seconds of a process: by the clock, and of all its threads on processors."""

    wall: float
    processor: float


def run(script: str, environ: dict[str, str], stdin: str) -> Took:
    """What a process takes from its start to its script's end."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(
        # exit at once: the interpreter's tear-down does not belong to a start
        [sys.executable, "-c", f"{script}\nimport os; os.write(1, b'.'); os._exit(0)"],
        input=stdin,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.stdout.endswith(".")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(seconds, used)


def ratio(times: list[Took], floor: list[Took], of: str) -> str:
    """The median of the rounds' ratios to the floor."""
    pairs = zip(times, floor, strict=True)
    return f"{median(getattr(took, of) / getattr(least, of) for took, least in pairs):.2f}x"


def _path() -> str:
    folders = (ROOT / "functions/predict", ROOT / "layers/quintet", ROOT)
    return os.pathsep.join(map(str, folders))


if __name__ == "__main__":
    main()
