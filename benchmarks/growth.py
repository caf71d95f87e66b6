"""How the work around a run grows: python -m benchmarks.growth [--rounds 15]

With the rows and the features of a request, the size of a model, the models in a stack, and the
keys in a stream's window. In one process with everything in memory: processor time from event to
response, without that of `session.run` on the same rows, which takes turns. The models are dense
layers; a stack's models are asked in turn.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from benchmarks.in_memory import answering
from benchmarks.reports import options, report, spread
from benchmarks.score_stream import answered, contract, event_of
from benchmarks.score_unit import make
from onnx import TensorProto, helper, numpy_helper
from tests.kits.models import event

from quintet.contract import Contract, Feature, Input, Output
from quintet.onnx_model import OnnxModel, session_options

RECORDS = 1000
Call = Callable[[], Any]


def dense(name: str, features: int, megabytes: int) -> tuple[Contract, bytes]:
    """A model of so many features, with layers of about so many megabytes behind them."""
    names = tuple(f"f{number}" for number in range(features))
    made = Contract(
        name=name,
        version=1,
        task="regression",
        features=tuple(Feature(name=one, dtype="float32") for one in names),
        inputs=(Input(name="x", dtype="float32", shape=(-1, features), features=names),),
        outputs=(Output(name="score", dtype="float32", shape=(-1, 1), meaning="score"),),
    )
    widths = [features, *[512] * (megabytes + bool(megabytes)), 1]
    random, nodes, weights = np.random.default_rng(1), [], []
    for place, (before, after) in enumerate(itertools.pairwise(widths)):
        values = random.normal(0, before**-0.5, (before, after)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{place}"))
        into = "score" if place == len(widths) - 2 else f"h{place + 1}"
        nodes.append(
            helper.make_node("MatMul", [f"h{place}" if place else "x", f"w{place}"], [into])
        )
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [info("x", TensorProto.FLOAT, ["rows", features])],
        [info("score", TensorProto.FLOAT, ["rows", 1])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return made, content


def requests(
    rows: int = 1, features: int = 30, megabytes: int = 0, models: int = 1
) -> tuple[Call, Call]:
    """A request, and the run of its model."""
    names = [f"m{number}" for number in range(models)]
    contract_of_all, graph = dense(names[0], features, megabytes)
    answer = answering({n: (replace(contract_of_all, name=n), graph) for n in names})
    values = np.random.default_rng(2).normal(size=(rows, features)).astype(np.float32)
    record = [f"f{number}" for number in range(features)]
    records = [dict(zip(record, row, strict=True)) for row in values.round(4).tolist()]
    body = json.dumps({"records": records}).encode()
    json_type = {"Content-Type": "application/json"}
    asked = [event("POST", f"/models/{name}/predict", body, json_type) for name in names]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # log lines
        for one in asked:
            assert answer(one)["statusCode"] == 200
    turns = itertools.cycle(asked)
    session = onnxruntime.InferenceSession(graph, session_options(1), ["CPUExecutionProvider"])
    return lambda: answer(next(turns)), partial(session.run, ["score"], {"x": values})


def windows(keys: int) -> tuple[Call, Call]:
    """A batch of a stream whose window has so many keys, and the run of its model."""
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), max(keys, RECORDS))
        graph = (Path(place) / "model.onnx").read_bytes()
        rows = np.load(Path(place) / "rows.npy")
    model = OnnxModel(contract(), graph)
    state: dict[str, Any] = {}
    for at in range(0, len(rows), RECORDS):  # fill the window
        batch = event_of(rows, keys)
        batch["Records"], batch["state"] = batch["Records"][at : at + RECORDS], state
        state = json.loads(answered(model, batch))["state"]
    batch = event_of(rows[:RECORDS], keys)
    batch["state"] = state
    session = onnxruntime.InferenceSession(graph, session_options(1), ["CPUExecutionProvider"])
    run = partial(session.run, ["probabilities"], {"x": rows[:RECORDS]})
    return partial(answered, model, batch), run


def pairs(whole: Call, run: Call, rounds: int) -> dict[str, Any]:
    """What is added to the run, and the ratio, each of blocks that take turns."""
    added, ratios = [], []
    gc.collect()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        block = max(1, int(0.02 / max(_seconds(whole, 1), 1e-5)))
        for _ in range(rounds):
            ours, raw = _seconds(whole, block), _seconds(run, block)
            added.append((ours - raw) * 1000)
            ratios.append(ours / raw)
    return {"added ms": spread(added), "of session.run": spread(ratios, 2)}


def _seconds(call: Call, times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) / times


#: what grows, its sizes, and what is measured at each
AXES: Sequence[tuple[str, Sequence[int], Callable[[int], tuple[Call, Call]]]] = (
    ("rows of a request", (1, 10, 100, 1000), lambda n: requests(rows=n)),
    ("features of a request", (10, 30, 100, 500), lambda n: requests(features=n)),
    ("MB of a model", (1, 10, 100), lambda n: requests(megabytes=n)),
    ("models in a stack", (1, 10, 100), lambda n: requests(models=n)),
    ("keys in a window", (10, 100, 1000, 10_000), windows),
)


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "growth")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    rows = [
        {"grows": axis, "to": size, **pairs(*make_calls(size), given.rounds)}
        for axis, sizes, make_calls in AXES
        for size in sizes
    ]
    note = f"{given.rounds} rounds; of windows, a batch of {RECORDS:,} records"
    report("growth", rows, note, write=given.write)


if __name__ == "__main__":
    main()
