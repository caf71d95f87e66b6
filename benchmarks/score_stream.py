"""The cost of a score_stream invocation besides its run: 1,000 records of 30 features.

    python -m benchmarks.score_stream [--rounds 20] [--records 1000]

A gradient-boosted tree model (100 trees of 31 leaves, 30 float features) scores the records of one
Lambda event, in one process on one thread:

- `session.run`: the rows, already in an array, in one run: the cost of scoring alone;
- `decode, aggregate, score`: strict JSON, columns, checks, one run, windows of count, mean and max
  by entity: from the records' bytes to scores and the state of the windows;
- `from event to answer`: the same with the base64 of the event, and the state written as JSON:
  score_stream without its writes;
- `whole invocation`: the same with the Parquet of the sink, the latest score of each entity, alerts
  and checkpoints, all in stores in memory: AWS's time for the tables and the bucket is left out;
- `record by record`: from event to answer as above, one record at a time, as a batch processor
  calls it;
- `record by record, plain`: base64, json, one run and one update of the window's dictionary for
  each record, without checks of types or ranges; the first bad record fails all.

Everything runs on one thread and CPU time is measured, so other load does not count. The rounds
interleave the ways. The report shows medians, with the medians of the ratios within each round, and
the minimum of all rounds, which cache contention affects least, with their ratios.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
from benchmarks.score_unit import contract_of, feature_names, make
from tests.kits.streams import cache_of

from quintet.captures.store import MemoryCaptures
from quintet.contract import Aggregate, Contract, Stream
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel, session_options
from quintet.serving import ModelRoute
from quintet.serving.predict import predict
from quintet.streaming import kinesis_events
from quintet.streaming.alerts import AlertNotifier, MemoryAlertState
from quintet.streaming.checkpoints import MemoryCheckpoints
from quintet.streaming.commit_log import MemorySink
from quintet.streaming.decoding import decode
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.model_rows import ShardBatch, TumblingWindow
from quintet.streaming.record_ids import MemoryScoredIds
from quintet.streaming.scorer import Scorer
from quintet.streaming.windows import MemoryWindows, advance

#: the features of the model
FEATURES = feature_names(30)
OURS = "from event to answer"
ENTITIES = 100
NOW = 1_800_000_000.0
#: an environment makes its stores once
STORED, WINDOWS = MemoryFeatures(), MemoryWindows()


def contract() -> Contract:
    """Return the batch benchmark's contract, with windows."""
    base: Contract = contract_of(len(FEATURES))
    return dataclasses.replace(
        base,
        entity="device",
        stream=Stream(
            aggregates=(
                Aggregate(name="readings", how="count"),
                Aggregate(name="mean_0", how="mean", of=FEATURES[0]),
                Aggregate(name="max_1", how="max", of=FEATURES[1]),
            )
        ),
    )


def event_of(rows: Any, entities: int = ENTITIES) -> dict[str, Any]:
    """Return an event with one record per row; each names one of so many devices."""
    records = []
    for number, row in enumerate(rows):
        record: dict[str, Any] = {"device": f"device-{number % entities}"}
        record |= dict(zip(FEATURES, (round(float(v), 6) for v in row), strict=True))
        data = orjson.dumps({"model": "bench", "records": [record]})
        records.append(
            {
                "kinesis": {
                    "partitionKey": record["device"],
                    "sequenceNumber": str(10**55 + number),
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": NOW,
                },
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/events",
            }
        )
    return {
        "Records": records,
        "window": {"start": "2027-01-15T08:00:00Z", "end": "2027-01-15T08:00:30Z"},
        "state": {},
        "shardId": "shardId-000000000000",
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


def vectorised(model: OnnxModel, arrived: ShardBatch, window: TumblingWindow) -> Any:
    """Decode, score and aggregate as score_stream does; return the windows' state."""
    decoded = decode(arrived, lambda name: model)
    for _, model_rows in decoded.by_model:
        route, batch = ModelRoute(model), model_rows.batch
        (found,) = predict(route, batch, STORED, NOW, isolate="rows")
        assert len(found.scores.index) == len(arrived.data)
    rows = [model_rows for _, model_rows in decoded.by_model]
    return advance(window, arrived, rows, WINDOWS).state


def answered(model: OnnxModel, event: dict[str, Any]) -> Any:
    """Do the same from Lambda's event to the response."""
    window = kinesis_events.tumbling(event)
    assert window is not None
    state = vectorised(model, kinesis_events.shard_batch(event), window)
    return orjson.dumps(kinesis_events.answer(state, None))


def whole(model: OnnxModel, event: dict[str, Any]) -> Any:
    """Run a complete invocation of score_stream, with new stores."""
    scorer = Scorer(
        decode=lambda found: decode(found, lambda name: model),
        models=cache_of(model),
        features=MemoryFeatures(),
        sink=MemorySink(),
        checkpoints=MemoryCheckpoints(),
        ids=MemoryScoredIds(),
        latest=MemoryLatest(),
        alerts=AlertNotifier(MemoryAlertState(), []),
        captures=MemoryCaptures(),
        windows=MemoryWindows(),
        clock=lambda: NOW,
    )
    outcome = scorer.take(kinesis_events.shard_batch(event), kinesis_events.tumbling(event))
    assert outcome.failed is None
    assert sum(outcome.rows.values()) == len(event["Records"])
    return orjson.dumps(kinesis_events.answer(outcome.state, outcome.failed))


def record_by_record(model: OnnxModel, event: dict[str, Any]) -> Any:
    """Do the same, one record at a time."""
    state = event["state"]
    for record in event["Records"]:
        state = orjson.loads(answered(model, {**event, "Records": [record], "state": state}))
        state = state["state"]
    return state


def plain(session: Any, event: dict[str, Any]) -> Any:
    """Run the plain handler."""
    window: dict[str, dict[str, float]] = dict(event["state"])
    scores = []
    for record in event["Records"]:
        (row,) = json.loads(base64.b64decode(record["kinesis"]["data"]))["records"]
        x = np.array([[row[name] for name in FEATURES]], dtype=np.float32)
        scores.append(float(session.run(["probabilities"], {"x": x})[0][0, 1]))
        found = window.setdefault(row["device"], {"n": 0, "sum": 0.0, "max": float("-inf")})
        found["n"] += 1
        found["sum"] += row[FEATURES[0]]
        found["max"] = max(found["max"], row[FEATURES[1]])
    return json.dumps({"state": window, "batchItemFailures": []})


def timed(run: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--records", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), given.records)
        graph = (Path(place) / "model.onnx").read_bytes()
        rows = np.load(Path(place) / "rows.npy")
    model = OnnxModel(contract(), graph, threads=1)
    session = onnxruntime.InferenceSession(graph, session_options(1), ["CPUExecutionProvider"])
    event = event_of(rows)
    arrived, window = kinesis_events.shard_batch(event), kinesis_events.tumbling(event)
    assert window is not None
    ways: dict[str, Callable[[], object]] = {
        "session.run": lambda: session.run(["probabilities"], {"x": rows}),
        "decode, aggregate, score": lambda: vectorised(model, arrived, window),
        OURS: lambda: answered(model, event),
        "whole invocation": lambda: whole(model, event),
        "record by record": lambda: record_by_record(model, event),
        "record by record, plain": lambda: plain(session, event),
    }
    for run in ways.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, run in ways.items():
            found[name].append(timed(run))
    print(f"| path | ms | records/s | of session.run | of {OURS} | least ms | of session.run |")
    print("|---|---|---|---|---|---|---|")
    raw, ours = found["session.run"], found[OURS]
    for name, seconds in found.items():
        median, least = statistics.median(seconds), min(seconds)
        share = statistics.median(a / b for a, b in zip(seconds, raw, strict=True))
        gain = statistics.median(a / b for a, b in zip(seconds, ours, strict=True))
        print(
            f"| {name} | {median * 1000:.2f} | {given.records / median:,.0f} | {share:.2f}x "
            f"| {gain:.2f}x | {least * 1000:.2f} | {least / min(raw):.2f}x |"
        )


if __name__ == "__main__":
    main()
