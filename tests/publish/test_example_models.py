"""The example packages: their files agree with each other, and training makes them again."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quintet.columns import ragged
from quintet.contract import Contract, Feature
from quintet.labels.targets import Target
from quintet_cli.stream_files import read_records
from quintet_publish.kit import contract_of, predict, read_table
from quintet_publish.package import read_package
from quintet_publish.training_data import labels_of

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
#: train on orders, not on rows as the contract has them
RECOMMENDING = {"candidates", "ranker"}
NAMES = ["candidates", "churn", "digits", "fraud", "ranker", "sensor", "tickets"]
TABLES = [
    ("candidates", "customers"),
    *(
        (name, table)
        for name in NAMES
        for table in ("training", "held_out")
        if name not in RECOMMENDING
    ),
]
DATA_BUDGET = 7_500_000  # bytes of committed data, of all packages together


def test_packages_are_the_known_ones() -> None:
    assert sorted(path.parent.name for path in MODELS.glob("*/model.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_package_reads_and_carries_its_folders_name(name: str) -> None:
    package = read_package(MODELS / name)
    assert (package.contract.name, package.contract.version) == (name, 1)
    assert package.golden.rows >= 20


@pytest.mark.parametrize("name", NAMES)
def test_graph_gives_golden_outputs(name: str) -> None:
    contract, golden = contract_of(MODELS / name), _json(MODELS / name / "golden.json")
    outputs = predict(onnx.load(MODELS / name / "model.onnx"), contract, _columns(contract, golden))
    _assert_golden(contract, golden, {key: value.tolist() for key, value in outputs.items()})


@pytest.mark.parametrize("name", NAMES)
def test_graph_gives_each_row_alone_what_it_gives_in_a_batch(name: str) -> None:
    contract, golden = contract_of(MODELS / name), _json(MODELS / name / "golden.json")
    model, columns = onnx.load(MODELS / name / "model.onnx"), _columns(contract, golden)
    rows = range(len(next(iter(columns.values()))))
    alone = [
        predict(model, contract, {key: value[row : row + 1] for key, value in columns.items()})
        for row in rows
    ]
    gathered = {o.name: [one[o.name].tolist()[0] for one in alone] for o in contract.outputs}
    _assert_golden(contract, golden, gathered)


@pytest.mark.parametrize("name", NAMES)
def test_retraining_reproduces_golden_outputs_and_metrics(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"models.{name}.train", "--out", str(tmp_path)]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    contract, committed = contract_of(MODELS / name), _json(MODELS / name / "golden.json")
    made = _json(tmp_path / "golden.json")
    assert made["columns"] == committed["columns"]
    _assert_golden(contract, committed, made["outputs"])
    retrained = onnx.load(tmp_path / "model.onnx")
    outputs = predict(retrained, contract, _columns(contract, committed))
    _assert_golden(contract, committed, {key: value.tolist() for key, value in outputs.items()})
    metrics = _json(MODELS / name / "metrics.json")
    assert _json(tmp_path / "metrics.json") == pytest.approx(metrics, rel=1e-4, abs=1e-6)
    printed = dict(line.split() for line in ran.stdout.splitlines()[: len(metrics)])
    assert {key: float(value) for key, value in printed.items()} == pytest.approx(
        metrics, rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_readme_tells_the_metrics_that_training_prints(name: str) -> None:
    text = (MODELS / name / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.e-]+) \|$", text, re.MULTILINE))
    metrics = _json(MODELS / name / "metrics.json")
    assert told == {key: f"{value:.4g}" for key, value in metrics.items()}


@pytest.mark.parametrize("name", NAMES)
def test_readme_names_every_feature_and_output(name: str) -> None:
    contract = contract_of(MODELS / name)
    text = (MODELS / name / "README.md").read_text(encoding="utf-8")
    names = [*(f.name for f in contract.features), *(o.name for o in contract.outputs)]
    assert [missing for missing in names if f"`{missing}`" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_source_and_licence_stand_beside_the_data(name: str) -> None:
    source = (MODELS / name / "data" / "SOURCE.md").read_text(encoding="utf-8")
    assert re.search(r"creativecommons\.org/(licenses/by/4\.0|publicdomain/zero/1\.0)/", source)
    files = sorted(p.name for p in (MODELS / name / "data").iterdir() if p.name != "SOURCE.md")
    assert [file for file in files if f"`{file}`" not in source] == []


def test_committed_data_stays_small() -> None:
    sizes = [path.stat().st_size for path in MODELS.glob("*/data/*")]
    assert sum(sizes) < DATA_BUDGET


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_data_stays_within_the_contract(name: str, table: str) -> None:
    contract = contract_of(MODELS / name)
    columns = read_table(MODELS / name / "data" / f"{table}.parquet")
    refused = {f.name: _outside(f, columns[f.name]) for f in contract.features}
    assert refused == dict.fromkeys(refused, 0)


def test_rankings_are_better_one_after_the_other_and_than_svd() -> None:
    metrics = _json(MODELS / "ranker" / "metrics.json")
    measures = ("hit_10", "hit_20", "ndcg_20", "coverage")
    for gap in ("candidates_over_popularity", "reranked_over_candidates"):
        assert [m for m in measures if metrics[f"{gap}_{m}_low"] <= 0] == []
    assert metrics["reranked_to_svd_hit_10"] > 1.1
    assert metrics["reranked_to_svd_ndcg_20"] > 1.1


def test_ranker_takes_what_candidates_gives_and_fraud_stores() -> None:
    ranker, fraud = contract_of(MODELS / "ranker"), contract_of(MODELS / "fraud")
    items = contract_of(MODELS / "candidates").by_name["items"].range
    assert [ranker.by_name[name].range for name in ("item", "session")] == [items, items]
    golden = _json(MODELS / "candidates" / "golden.json")["outputs"]
    low, high = ranker.by_name["score"].range or (0, 0)
    assert [s for row in golden["scores"] for s in row if not (low or 0) <= s <= (high or 0)] == []
    assert ranker.entity == fraud.entity
    stored = {f.name: (f.dtype, f.range) for f in fraud.stored}
    assert {f.name: stored.get(f.name) for f in ranker.stored} == {
        f.name: (f.dtype, f.range) for f in ranker.stored
    }


def test_a_category_of_the_ranker_is_the_series_of_the_article() -> None:
    catalogue = MODELS / "candidates" / "data" / "items.csv"
    with catalogue.open(encoding="utf-8", newline="") as file:
        series = {int(row["item"]): int(row["article"][:5]) // 10 for row in csv.DictReader(file)}
    golden = _json(MODELS / "ranker" / "golden.json")
    expected = [[series[item]] for item in golden["columns"]["item"]]
    assert golden["outputs"]["category"] == expected


def test_rows_of_the_ranker_need_no_session() -> None:
    contract = contract_of(MODELS / "ranker")
    golden = _json(MODELS / "ranker" / "golden.json")
    sizes = {len(session) for session in golden["columns"]["session"]}
    assert {0, 1, 5, 20} <= sizes
    assert contract.by_name["session"].pad == 0


def test_requests_hold_what_the_checkout_sends() -> None:
    contract = contract_of(MODELS / "fraud")
    lines = (MODELS / "fraud" / "data" / "requests.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    keys = {"customer_id", *(feature.name for feature in contract.requested)}
    assert len(records) == 1000
    assert all(set(record) == keys for record in records)


@pytest.mark.parametrize("file", ["fraud/data/orders_stream.jsonl", "sensor/data/readings.jsonl"])
def test_records_of_a_stream_are_what_the_stream_takes(file: str) -> None:
    path = MODELS / file
    contract = contract_of(MODELS / file.split("/", maxsplit=1)[0])
    lines = read_records(path, contract, None)
    assert len(lines) == len(path.read_text().splitlines())


def test_orders_of_the_stream_are_the_requests_and_their_moments() -> None:
    contract, data = contract_of(MODELS / "fraud"), MODELS / "fraud" / "data"
    orders = [json.loads(line) for line in (data / "orders_stream.jsonl").open()]
    assert contract.stream is not None
    placed = [order.pop(contract.stream.time) for order in orders]
    assert placed == sorted(placed) and placed[0] == "2011-09-01T08:25:00Z"
    assert orders == [json.loads(line) for line in (data / "requests.jsonl").open()]


def test_a_burst_of_orders_changes_the_score_of_every_order_in_the_file() -> None:
    contract = contract_of(MODELS / "fraud")
    columns = read_table(MODELS / "fraud/data/held_out.parquet")
    graph = onnx.load(MODELS / "fraud/model.onnx")
    scores = [
        predict(graph, contract, {**columns, "orders_today": np.full(5662, orders)})[
            "probabilities"
        ][:, 1]
        for orders in (0.0, 5.0)
    ]
    assert (np.abs(scores[1] - scores[0]) > 0.001).mean() > 0.99


def test_windows_of_the_orders_hold_what_the_contract_reads_of_them() -> None:
    contract = contract_of(MODELS / "fraud")
    assert contract.stream is not None
    held = {aggregate.name for aggregate in contract.stream.aggregates}
    assert {f.name for f in contract.features if f.source == "window"} == {"orders_today"}
    assert held == {"orders_today", "pounds_today"}


def test_features_file_holds_the_stored_features_of_each_customer_once() -> None:
    contract = contract_of(MODELS / "fraud")
    header, *rows = (MODELS / "fraud" / "data" / "features.csv").read_text().splitlines()
    nightly = [feature.name for feature in contract.features if feature.source == "store"]
    assert header.split(",") == ["customer_id", *nightly]
    customers = [row.split(",")[0] for row in rows]
    assert len(customers) == len(set(customers)) == 5249


def test_requests_are_mostly_of_customers_in_the_features_file() -> None:
    data = MODELS / "fraud" / "data"
    known = {line.split(",")[0] for line in (data / "features.csv").read_text().splitlines()}
    asked = [json.loads(line)["customer_id"] for line in (data / "requests.jsonl").open()]
    assert sum(customer in known for customer in asked) == 896


def test_readings_are_records_of_the_sensor_model_and_labels_name_some_of_them() -> None:
    contract, data = contract_of(MODELS / "sensor"), MODELS / "sensor" / "data"
    assert contract.stream is not None
    records = [json.loads(line) for line in (data / "readings.jsonl").open()]
    keys = {*contract.request_keys, contract.stream.time}
    assert len(records) == 9 * 3 * 144 and all(set(record) == keys for record in records)
    moments = [record["at"] for record in records]
    assert moments == sorted(moments)
    header, *labels = (data / "readings_labels.csv").read_text().splitlines()
    assert header == "sensor,at,anomaly" and len(labels) == len(set(labels)) == 453
    known = {(record["sensor"], record["at"]) for record in records}
    assert {tuple(label.split(",")[:2]) for label in labels} <= known
    assert {label.split(",")[2] for label in labels} == {"spike", "stuck", "drift"}


def test_alert_of_the_sensors_is_what_a_training_reading_in_a_thousand_exceeds() -> None:
    alert, metrics = contract_of(MODELS / "sensor").alert, _json(MODELS / "sensor/metrics.json")
    assert alert is not None and alert.above == round(metrics["threshold"])


def test_fallback_tells_the_rates_of_first_orders() -> None:
    fallback, metrics = contract_of(MODELS / "fraud").fallback, _json(MODELS / "fraud/metrics.json")
    assert fallback is not None
    told: Any = {f"{rule.above:g}": rule.outputs["probabilities"] for rule in fallback.rules}
    told["0"] = fallback.otherwise["probabilities"]
    rates = {key: round(metrics[f"first_orders_rate_above_{key}"], 2) for key in told}
    assert {key: [round(1 - rate, 2), rate] for key, rate in rates.items()} == told


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _columns(contract: Contract, golden: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Golden columns in the features' dtypes."""
    columns: dict[str, NDArray[Any]] = {}
    for feature in contract.features:
        kind = np.dtype(object if feature.dtype == "string" else feature.dtype)
        values = golden["columns"][feature.name]
        if feature.free:
            columns[feature.name] = ragged([np.array(row, dtype=kind) for row in values])
        else:
            columns[feature.name] = np.array(values, dtype=kind)
    return columns


def _assert_golden(contract: Contract, golden: dict[str, Any], got: dict[str, Any]) -> None:
    assert set(got) == {output.name for output in contract.outputs} == set(golden["outputs"])
    for output in contract.outputs:
        want = golden["outputs"][output.name]
        if output.meaning == "label":
            assert got[output.name] == want
        else:
            np.testing.assert_allclose(
                got[output.name], want, rtol=0, atol=golden["tolerance"], strict=False
            )


def _outside(feature: Feature, values: NDArray[Any]) -> int:
    """How many values a contract would refuse."""
    if feature.free:
        assert max(map(len, values)) <= feature.largest[0]
        values = np.concatenate(values)
    if feature.categories is not None:
        return sum(value not in feature.categories for value in values.tolist())
    if feature.range is None:
        return 0
    low, high = feature.range
    return int(((values < low) | (values > high) | ~np.isfinite(values)).sum())


@pytest.mark.parametrize("name", ["churn", "digits", "fraud", "tickets"])
def test_the_true_values_of_training_data_are_labels_of_the_model(name: str) -> None:
    contract = contract_of(MODELS / name)
    assert contract.training_target is not None
    told = read_table(MODELS / name / "data" / "training.parquet")[contract.training_target]
    labels = labels_of(contract, told)
    assert labels is not None
    assert set(labels) == set(Target(contract).names)
