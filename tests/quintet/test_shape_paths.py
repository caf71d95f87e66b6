"""Rows of different shapes on the paths behind scoring: files, streams, captures, drift, caches."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import io as arrow_io
from tests.kits.batch import Bench
from tests.kits.shapes import FOUND, IMAGE, TOKENS, WORDS, Shaped
from tests.kits.streams import NOW, cache_of, shard_batch

from quintet.batch.athena import catalogue
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan
from quintet.captures.lines import prediction_lines
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import read_lines
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import read_parquet, scored, write_parquet
from quintet.columns import from_records, numpy_dtype
from quintet.contract import Capture, Contract, Feature
from quintet.features import MemoryFeatures
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.drift import drift_of
from quintet.monitoring.samples import Reference, Sample
from quintet.onnx_model import OnnxModel
from quintet.serving import ModelRoute, Prediction, PredictionCache
from quintet.serving.predict import predict
from quintet.streaming.alerts import AlertNotifier, MemoryAlertChannel, MemoryAlertState
from quintet.streaming.checkpoints import MemoryCheckpoints
from quintet.streaming.commit_log import MemorySink
from quintet.streaming.decoding import decode
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.record_ids import MemoryScoredIds
from quintet.streaming.scorer import Scorer
from quintet.streaming.windows import MemoryWindows

KEPT = [[5, 0, 7], [9], [1, 2, 3], [], [0, 0, 0, 0, 0, 6]]
TOTAL = [12, 9, 6, 0, 6]


def bench(shaped: Shaped) -> Bench:
    contract = shaped.contract
    catalog = MemoryCatalog(Pinned(contract.version, "d" * 64, "s" * 64, contract))
    return Bench(catalog, OnnxModel(contract, shaped.graph, digest="d" * 64))


def lines(rows: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def test_a_batch_run_writes_lists_and_quarantines_what_is_too_long() -> None:
    run = bench(TOKENS)
    long = {"tokens": [1] * 7, "mask": [1] * 7}
    apart = {"tokens": [1, 2], "mask": [1, 1, 1]}
    plan = run.plan("tokens/a.jsonl", lines([*TOKENS.rows, long, apart]))
    (result,) = run.score(plan)
    assert isinstance(plan, Plan)
    assert [row["kept"] for row in run.scores(plan.folder)] == KEPT
    assert [row["total"] for row in run.scores(plan.folder)] == TOTAL
    expected = "an array of shape [up to 6] of int64"
    assert [line["reasons"] for line in run.quarantine(plan.folder)] == [
        [
            {"field": "tokens", "expected": expected, "got": "shape [7]"},
            {"field": "mask", "expected": expected, "got": "shape [7]"},
        ],
        [
            {
                "field": "model",
                "expected": "an answer for this row",
                "got": "model tokens version 1 failed on tokens [1, 2], mask [1, 3] (Fail)",
            }
        ],
    ]
    assert result["scored"] == 5
    (shown, _) = catalogue(plan, TOKENS.contract, "scores")
    types = {c["Name"]: c["Type"] for c in shown.table["StorageDescriptor"]["Columns"]}
    assert types == {
        "row": "bigint",
        "kept": "array<bigint>",
        "total": "bigint",
        "model_version": "bigint",
    }


@pytest.mark.parametrize(
    ("output", "written"),
    [
        ("csv", 'row,kept,total,model_version\n0,"[5,0,7]",12,1\n1,[9],9,1\n'),
        (
            "jsonl",
            '{"row":0,"kept":[5,0,7],"total":12,"model_version":1}\n'
            '{"row":1,"kept":[9],"total":9,"model_version":1}\n',
        ),
    ],
)
def test_a_batch_run_writes_lists_as_text(output: str, written: str) -> None:
    run = bench(TOKENS)
    plan = run.plan("tokens/a.jsonl", lines(TOKENS.rows[:2]), output=output)
    run.score(plan)
    assert isinstance(plan, Plan)
    (key,) = run.store.keys(f"{plan.folder.root}scores/")
    assert run.store.objects[key].decode() == written


def test_a_batch_run_writes_lists_of_texts() -> None:
    run = bench(WORDS)
    plan = run.plan("words/a.jsonl", lines(WORDS.rows))
    run.score(plan)
    assert isinstance(plan, Plan)
    found = [row["same"] for row in run.scores(plan.folder)]
    assert found == [row["words"] for row in WORDS.rows]
    plan = run.plan("words/b.jsonl", lines(WORDS.rows[:1]), output="csv")
    run.score(plan)
    assert isinstance(plan, Plan)
    (key,) = run.store.keys(f"{plan.folder.root}scores/")
    assert '0,"[""a"",""ß""]",1' in run.store.objects[key].decode()


def test_the_floats_of_a_csv_are_as_short_as_they_read_back() -> None:
    run = bench(IMAGE)
    plan = run.plan("image/a.jsonl", lines([{"image": [[[0, 0]], [[0.1, 0.7]]]}]), output="csv")
    run.score(plan)
    assert isinstance(plan, Plan)
    (key,) = run.store.keys(f"{plan.folder.root}scores/")
    assert '"[[[0.1,0.7]]]"' in run.store.objects[key].decode()


def test_a_stream_writes_lists_and_keeps_the_latest_of_each_entity() -> None:
    keyed = replace(TOKENS.contract, entity="user")
    model = OnnxModel(keyed, TOKENS.graph)
    sink, latest = MemorySink(), MemoryLatest()
    scorer = Scorer(
        decode=lambda found: decode(found, lambda name: model, "tokens"),
        models=cache_of(model),
        features=MemoryFeatures(),
        sink=sink,
        checkpoints=MemoryCheckpoints(),
        ids=MemoryScoredIds(),
        latest=latest,
        alerts=AlertNotifier(MemoryAlertState(), [MemoryAlertChannel()]),
        windows=MemoryWindows(),
        captures=MemoryCaptures(),
        clock=lambda: NOW + 1,
    )
    rows = [{"user": f"u{number % 2}", **row} for number, row in enumerate(TOKENS.rows)]
    outcome = scorer.take(shard_batch(*map(orjson.dumps, rows)), None)
    assert outcome.rows == {("tokens", 1): 5}
    (stored,) = (o for key, o in sink.objects.items() if key.endswith(".parquet"))
    table = arrow_io.read_parquet(io.BytesIO(stored.body)).read_all()
    assert table["kept"].to_pylist() == KEPT
    found = {key[2]: one.outputs for key, one in latest.stored.items()}
    assert found == {"u0": {"kept": KEPT[4], "total": 6}, "u1": {"kept": [], "total": 0}}


def prediction(shaped: Shaped, contract: Contract) -> Prediction:
    batch = from_records(contract, shaped.rows)
    (found,) = predict(ModelRoute(OnnxModel(contract, shaped.graph)), batch, MemoryFeatures(), NOW)
    return found


@pytest.mark.parametrize("shaped", [TOKENS, IMAGE, FOUND, WORDS], ids=lambda s: s.contract.name)
def test_captures_hold_lists(shaped: Shaped) -> None:
    contract = replace(shaped.contract, capture=Capture())
    plan, found = CapturePlan(contract), prediction(shaped, contract)
    event = {"event": "e", "path": "p", "event_time": NOW}
    read, unreadable = read_lines([x.decode() for x in prediction_lines(plan, event, found)])
    assert unreadable == 0
    ((_, by_line),) = read.items()
    at_once = read_parquet(write_parquet(scored(plan, found, slice(None), {})))
    for output in (output for output in contract.outputs if output.free):
        for table in (by_line.rows, at_once):
            have = table[f"output_{output.name}"].to_pylist()
            for mine, row in zip(have, shaped.rows, strict=True):
                expected = shaped.alone(row)[output.name]
                kind = numpy_dtype(output.dtype)
                assert np.array(mine, kind).ravel().tolist() == expected.ravel().tolist()
                assert len(mine) == len(expected)
    for feature in contract.features:
        for table in (by_line.rows, at_once):
            captured = table[f"feature_{feature.name}"].to_pylist()
            for mine, row in zip(captured, shaped.rows, strict=True):
                kind = numpy_dtype(feature.dtype)
                given = np.array(row[feature.name], kind)
                assert np.array(mine, kind).ravel().tolist() == given.ravel().tolist()


def test_drift_counts_the_values_of_rows_of_any_length() -> None:
    contract = replace(
        TOKENS.contract,
        features=(TOKENS.contract.features[0], Feature(name="mask", dtype="int64")),
    )
    random = np.random.default_rng(0)
    lengths = random.integers(0, 6, 2000).tolist()
    trained = [random.integers(0, 10, length).tolist() for length in lengths]
    baseline = baseline_of(contract, {"tokens": trained})
    reference = Reference(contract, baseline)

    def index(rows: list[list[int]]) -> float:
        sample = Sample(reference, len(rows))
        column = np.fromiter((np.array(row) for row in rows), dtype=object, count=len(rows))
        sample.add({"tokens": column}, np.arange(len(rows)))
        found = drift_of(reference, [(len(rows), sample.document())])
        assert found is not None
        return float(found["features"][0]["stability_index"])

    assert index(trained) < 0.01
    assert index([[9] * length for length in lengths]) > 1


def test_the_cache_tells_rows_of_other_shapes_apart() -> None:
    def key(*rows: Any) -> bytes:
        shaped = [{"tokens": row, "mask": row} for row in rows]
        return PredictionCache.key(("m",), from_records(TOKENS.contract, shaped).columns, [])

    assert key([1, 2], [3]) == key([1, 2], [3])
    keys = [key([1, 2], [3]), key([1], [2, 3]), key([1, 2, 3]), key([1, 2], [3], []), key([1, 2])]
    assert len(set(keys)) == len(keys)
